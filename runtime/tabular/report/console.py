"""What a person sees of a run of the built-in app: its rounds, and at the end its scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from runtime.server.report.console import VISIBLE_ROUNDS, RunConsole
from runtime.tabular.report.figures import span
from runtime.tabular.report.gains import gains, sentence, summed_sentence
from runtime.tabular.server.settings import RunSettings
from runtime.tabular.task_scores import LOSSES, SCORES

RATES: Final = ("recall", "precision")


class Console(RunConsole):
    """Show a run of the built-in app: its rounds, and at the end its scores."""

    def __init__(self, settings: RunSettings) -> None:
        headline = (
            f"{settings.strategy} over {settings.engine.value}, {settings.rounds} rounds, "
            f"{len(settings.roster)} clients"
        )
        super().__init__(settings, headline)
        self._planned = settings.rounds
        self._rounds: list[dict[str, Any]] = []

    def round(self, entry: dict[str, Any]) -> None:
        """Show a round."""
        self._rounds.append(entry)
        for name, part in entry["clients"].items():
            if name in self._standing and part["status"] == "ok":
                rows = f"{part['samples']:,} rows" if part["samples"] else "in the sum"
                self._standing[name] = f"{rows}, {part['train_seconds']:.2f} s"
        scored = "  ".join(f"{_title(name)} {value:.4f}" for name, value in list(entry["test"].items())[:3])
        self._show(
            f"round {entry['round']:>3}  {entry['seconds']:.2f} s  {scored}  clients {_took_part(entry)}"
        )

    def close(self, report: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Show the scores, the verdict and where every file is."""
        if final := report["final"]:
            self._say(
                f"[bold]final model[/] (of round {report['final_round']}) on {report['test_samples']:,} test "
                f"rows: {', '.join(_figure(report, name) for name in list(final)[:3])}"
            )
            if point := report.get("operating_point"):
                self._say(f"[bold]a threshold for {point['for']}[/]: {_threshold(point)}")
            if "classification_report" in report:
                self._terminal.print(_classification(report))
            self._say(f"[bold]each client on its own hold-out[/]: {_gained(report)}")
        super().close(report, files)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        names = sorted(self._rounds[-1]["test"], key=lambda name: name not in LOSSES) if self._rounds else []
        for heading in ("round", "seconds", *map(_title, names), "clients"):
            table.add_column(heading, justify="right")
        for entry in self._rounds[-VISIBLE_ROUNDS:]:
            test = entry["test"]
            table.add_row(
                f"{entry['round']}/{self._planned}",
                f"{entry['seconds']:.2f}",
                *(f"{test[name]:.4f}" for name in names),
                _took_part(entry),
            )
        return table


def _title(name: str) -> str:
    """Return what a score is called in a line."""
    title = next((task[name].title for task in SCORES.values() if name in task), name)
    return title if title[:2].isupper() else title[0].lower() + title[1:]


def _figure(report: Mapping[str, Any], name: str) -> str:
    """Return a score with its interval, if it has one."""
    ends = span((report.get("intervals") or {}).get(name))
    return f"{_title(name)} {report['final'][name]:.4f}" + (f" (95 %: {ends})" if ends else "")


def _threshold(point: Mapping[str, Any]) -> str:
    if "judged" not in point:
        return f"none, {point['missing']}"
    judged = point["judged"]
    shares = (f"{name} {judged[name]:.3f} (95 %: {span(judged[f'{name}_interval'])})" for name in RATES)
    return f"{point['threshold']:.4f}, on rows that did not choose it {', '.join(shares)}"


def _took_part(entry: dict[str, Any]) -> str:
    parts = [part["status"] == "ok" for part in entry["clients"].values()]
    return f"{sum(parts)}/{len(parts)}"


def _gained(report: Mapping[str, Any]) -> str:
    if (summed := report["value_summed"]) is not None:
        return summed_sentence(summed)
    return sentence(gains(report)) or report["value_missing"] or "no client answered"


def _classification(report: Mapping[str, Any]) -> Table:
    """Lay out scikit-learn's classification report."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for heading in ("precision", "recall", "f1-score", "support"):
        table.add_column(heading, justify="right")
    for name, row in report["classification_report"].items():
        if isinstance(row, dict):
            numbers = (f"{row[key]:.3f}" for key in ("precision", "recall", "f1-score"))
            table.add_row(name, *numbers, f"{row['support']:,.0f}")
    return table
