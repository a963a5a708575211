"""`fedstack report`: render the page of a run anew from its report.json, and say what came of it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from runtime.contract import ExitCode, FedstackError
from runtime.errors import escaped, unwritable
from runtime.server.command.options import AsJson, Out
from runtime.server.notebook.home import OUT
from runtime.server.report import app_report
from runtime.server.report.page import visible
from runtime.server.run.progress import report_of

PAGE: Final = "report.html"
SUMMARY: Final = ("run_id", "verdict", "code", "reason", "model", "strategy", "final", "seconds")
NEEDED: Final = ("run_id", "name", "clients", "seconds", "privacy")
BUILT_IN: Final = "runtime.tabular.report.page"
"""The built-in app's page, named and not imported: the platform does not know the app."""


def report(out: Out = OUT, as_json: AsJson = False) -> None:
    """Write report.html anew from report.json, and say what came of the run."""
    made = report_of(out)
    if missing := [name for name in NEEDED if name not in made]:
        raise _of_another_version(out, f"it has no {missing[0]}")
    render = app_report.render if "app" in made else importlib.import_module(BUILT_IN).render
    try:
        page = render(made)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _of_another_version(out, f"{type(error).__name__} {error}") from error
    fresh = out / f"{PAGE}.tmp"
    try:
        fresh.write_text(page, encoding="utf-8")
        fresh.replace(out / PAGE)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise unwritable(error) from error
    if as_json:
        told = {name: made[name] for name in SUMMARY if name in made}
        typer.echo(json.dumps({**told, "page": str((out / PAGE).absolute())}))
        return
    console = Console(highlight=False)
    for line in _told(made, (out / PAGE).absolute()):
        console.print(line, soft_wrap=True)


def _of_another_version(out: Path, what: str) -> FedstackError:
    return FedstackError(
        ExitCode.CONFIG,
        f"{out / 'report.json'} is not a report of this version: {what}.",
        "Use the version that wrote it (its `versions`), or run again.",
    )


def _told(made: dict[str, Any], page: Path) -> list[str]:
    """Return what the console says of a run at its end."""
    lines = [f"[bold]{escape(str(made.get('name', '')))}[/]  {escape(str(made.get('run_id', '')))}"]
    if seen := visible(made):
        lines.append(f"[bold yellow]privacy[/]: {escape(seen)}")
    reason = f"  {escape(escaped(str(made['reason'])))}" if made.get("reason") else ""
    lines.append(f"[bold]{escape(str(made['verdict']))}[/]{reason}")
    numbers = {name: value for name, value in (made.get("final") or {}).items() if isinstance(value, float)}
    if numbers:
        lines.append("  final       " + "  ".join(f"{name} {value:.4f}" for name, value in numbers.items()))
    for client in made.get("clients", ()):
        lines.append(f"  {escape(str(client.get('name'))):<11} {escape(escaped(str(client.get('status'))))}")
    taken = "  ".join(f"{phase} {seconds:.1f} s" for phase, seconds in made.get("seconds", {}).items())
    lines += [f"  {'seconds':<11} {taken}", f"  {'page':<11} {escape(page.as_uri())}"]
    return lines
