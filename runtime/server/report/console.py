"""What a person sees of a run: a live table of rounds, who is there, and at the end where everything is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from runtime.server.report.page import visible
from runtime.server.settings import PlatformSettings

VISIBLE_ROUNDS: Final = 20
VISIBLE_CLIENTS: Final = 12
COLOURS: Final = {"COMPLETE": "green", "PARTIAL": "yellow", "FAILED": "red"}
PHASES: Final = {
    "join": "waiting for clients",
    "prepare": "merging the scaler",
    "rounds": "training",
    "app": "running the app",
    "evaluate": "scoring and handing out the final model",
}
STANDINGS: Final = {
    "joined": "ready",
    "rejoined": "back again",
    "lost": "lost, may come back",
    "left": "left",
    "rejected": "refused",
    "refused": "reply refused",
    "missed": "no reply in time",
    "set_aside": "set aside",
    "taken_back": "answers again",
    "update_refused": "update refused",
    "value_refused": "no figures of its gain",
}


class RunConsole:
    """Show one run of any app; on a terminal as a live table, elsewhere as one line per event.

    Parameters
    ----------
    headline
        What is run, in the words of its first line.
    """

    def __init__(self, settings: PlatformSettings, headline: str) -> None:
        self._run, self._headline = settings, headline
        self._terminal = Terminal(width=None if Terminal().is_terminal else 100, highlight=False)
        self._live = Live(console=self._terminal, refresh_per_second=8, transient=False)
        self._standing = dict.fromkeys(settings.roster, "awaited")
        self._phase = ""

    def __enter__(self) -> Self:
        """Begin, with a line that says which run this is."""
        run = self._run
        self._say(f"[bold]{escape(run.name)}[/]  {run.run_id}  {escape(self._headline)}")
        if self._terminal.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the table on the screen."""
        self._live.stop()

    def phase(self, name: str) -> None:
        """Show what the run is doing."""
        self._phase = PHASES[name]
        self._show(f"{self._phase} ...")

    def event(self, kind: str, **details: Any) -> None:
        """Show who came, went, or was refused."""
        client = details.get("client")
        if client in self._standing and kind in STANDINGS:
            self._standing[client] = STANDINGS[kind]
        what = STANDINGS.get(kind, kind.replace("_", " "))
        reason = f": {details['reason']}" if details.get("reason") else ""
        self._show(f"{client or ''} {what}{reason}".strip())

    def close(self, report: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Show the verdict and where every file is."""
        if seen := visible(report):
            self._say(f"[bold yellow]privacy[/]: {escape(seen)}")
        verdict = report["verdict"]
        self._say(
            f"[bold {COLOURS[verdict]}]{verdict}[/]"
            + (f"  {escape(report['reason'])}" if report["reason"] else "")
        )
        for label, path in files.items():
            self._say(f"  {label:<11} {escape(str(path))}")

    def _table(self) -> Table:
        """Lay out what has happened so far."""
        raise NotImplementedError

    def _say(self, text: str) -> None:
        self._terminal.print(text, soft_wrap=True)

    def _show(self, line: str) -> None:
        if self._live.is_started:
            self._live.update(Group(self._table(), self._clients()))
        else:
            self._terminal.print(Text(line), soft_wrap=True)

    def _clients(self) -> RenderableType:
        shown = list(self._standing.items())[:VISIBLE_CLIENTS]
        lines = [f"{name}: {standing}" for name, standing in shown]
        if more := len(self._standing) - len(shown):
            lines.append(f"and {more} more")
        return Text(f"{self._phase}\n" + "\n".join(lines), style="dim")
