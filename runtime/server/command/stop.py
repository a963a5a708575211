"""`fedstack stop`: end a run on this machine, and the client jobs of one whose server is gone."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from runtime.contract import ExitCode, FedstackError
from runtime.errors import escaped
from runtime.server.command.options import AsJson, Out
from runtime.server.notebook.home import OUT
from runtime.server.run import lock, progress

LOOK_SECONDS: Final = 0.2


def stop(
    out: Out = OUT,
    seconds: Annotated[float, typer.Option(min=1, help="How long to wait for the server's end.")] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Stop a run: its server, which stops the jobs; those of a server that was killed, by its roles."""
    running = lock.holder(out)
    events = progress.last_run(out)
    if running is None and not events:
        raise progress.no_run(out)
    told: dict[str, Any] = {"server": "was not running", "jobs": {}}
    if running is not None:
        _end(out, running, seconds)
        told["server"] = f"stopped (process {running.pid}, {running.run_id})"
        events = progress.last_run(out)
    if left := progress.started_jobs(events):
        told["jobs"] = _stop_jobs(events, left)
    if as_json:
        typer.echo(json.dumps(told))
    else:
        typer.echo(f"server  {told['server']}")
        for name, what in told["jobs"].items():
            typer.echo(f"{name}  {escaped(what)}")
    if any(what.startswith(("not stopped", "cannot be")) for what in told["jobs"].values()):
        raise typer.Exit(int(ExitCode.JOB))


def _end(out: Path, running: lock.Holder, seconds: float) -> None:
    """Ask a server to end, and wait until it has: it stops its jobs and writes its report first."""
    try:
        if running.pid > 0:
            os.kill(running.pid, signal.SIGTERM)
    except PermissionError as error:
        raise FedstackError(
            ExitCode.CONFIG, f"Process {running.pid} is another user's.", "Stop it as that user."
        ) from error
    except ProcessLookupError:
        return
    deadline = time.monotonic() + seconds
    while lock.holder(out) is not None:
        if time.monotonic() > deadline:
            raise FedstackError(
                ExitCode.RUN_DEADLINE,
                f"Process {running.pid} has been asked to stop and runs after {seconds:g} s.",
                "Wait with a longer --seconds, or end it with `kill -9` and call `fedstack stop` again.",
            )
        time.sleep(LOOK_SECONDS)


def _stop_jobs(events: list[dict[str, Any]], left: dict[Any, str]) -> dict[str, str]:
    from runtime.server.jobs import started

    return started.stop(started.launches(events[0], left), "fedstack stop")
