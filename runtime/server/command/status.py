"""`fedstack status`: which round, who is there, what came of it; with --jobs what AWS says of them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from runtime.errors import escaped
from runtime.server.command.options import AsJson, Out
from runtime.server.notebook.home import OUT
from runtime.server.run import progress
from runtime.server.run.progress import Progress

WATCH_SECONDS: Final = 2.0
SHOWN_CLIENTS: Final = 12


def status(
    out: Out = OUT,
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking until the run is over.")] = False,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Ask AWS for the client jobs, with the roles that the server has.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say how far a run is: state, round, clients, checkpoint, verdict; it changes nothing."""
    if not watch:
        _print(*_look(out, jobs=jobs), as_json=as_json)
        return
    if as_json or not sys.stdout.isatty():
        _lines(out, jobs=jobs, as_json=as_json)
        return
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            found, asked = _look(out, jobs=jobs)
            live.update(Group(*map(Text.from_markup, _told(found, asked))), refresh=True)
            if found.over:
                return
            time.sleep(WATCH_SECONDS)


def _look(out: Path, *, jobs: bool) -> tuple[Progress, dict[str, str] | None]:
    """Return how far the run is, and what AWS says of its jobs where that is asked for."""
    found = progress.read(out)
    if not jobs:
        return found, None
    from runtime.server.jobs import started

    events = progress.last_run(out)
    running = progress.started_jobs(events)
    return found, started.states(started.launches(events[0], running)) if running else {}


def _lines(out: Path, *, jobs: bool, as_json: bool) -> None:
    """Print each change once, where there is no terminal to draw on."""
    before = None
    while True:
        found, asked = _look(out, jobs=jobs)
        now = {**found.as_json(), "last_time": None, "jobs": asked}
        if now != before:
            _print(found, asked, as_json=as_json)
            sys.stdout.flush()
        before = now
        if found.over:
            return
        time.sleep(WATCH_SECONDS)


def _print(found: Progress, jobs: dict[str, str] | None, *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = found.as_json() | ({} if jobs is None else {"jobs": jobs})
        typer.echo(json.dumps(told))
        return
    console = Console(highlight=False)
    for line in _told(found, jobs):
        console.print(line, soft_wrap=True)


def _told(found: Progress, jobs: dict[str, str] | None) -> list[str]:
    """Return what a person reads, one line after the other."""
    process = f"  process {found.pid}" if found.pid else ""
    name, run_id, state = map(escape, (found.name, found.run_id, found.state))
    lines = [f"[bold]{name}[/]  {run_id}  [bold]{state}[/]{process}"]
    if found.reason:
        lines.append(f"  {'reason':<11} {escape(escaped(found.reason))}")
    scores = "  ".join(f"{name} {value:.4f}" for name, value in list(found.metrics.items())[:4])
    of = f" of {found.rounds}" if found.rounds else ""
    lines.append(f"  {'round':<11} {found.round}{of}  {escape(scores)}".rstrip())
    shown = list(found.clients.items())[:SHOWN_CLIENTS]
    lines += [f"  {escape(name):<11} {escape(escaped(standing))}" for name, standing in shown]
    if more := len(found.clients) - len(shown):
        lines.append(f"  and {more} more")
    lines += [f"  {'job of ' + escape(name):<11} {escape(state)}" for name, state in (jobs or {}).items()]
    if jobs == {}:
        lines.append(f"  {'jobs':<11} none that this run started goes on")
    if found.last_event:
        lines.append(f"  {'last event':<11} {escape(found.last_event)} at {found.last_time}")
    if found.state in ("killed", "FAILED") and found.checkpoint:
        lines.append(f"  {'checkpoint':<11} there: `--resume` goes on from it")
    return lines
