from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as Terminal
from server_fixture import entry, held_out, settings, state

from runtime.contract import ExitCode, FedstackError
from runtime.server.report import console
from runtime.server.report.files import Drafts
from runtime.tabular.report import build as report
from runtime.tabular.report.console import Console
from runtime.tabular.server.client_gain import Value
from runtime.tabular.server.settings import RunSettings


class Recorded:
    """A console on a terminal that keeps what it shows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, run: RunSettings, *, live: bool) -> None:
        self._file = io.StringIO()

        def make(**options: Any) -> Terminal:
            options.pop("width", None)
            return Terminal(file=self._file, force_terminal=live, width=100, **options)

        monkeypatch.setattr(console, "Terminal", make)
        self.console = Console(run)

    @property
    def text(self) -> str:
        return self._file.getvalue()


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def shown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorded:
    return Recorded(monkeypatch, settings(tmp_path, name="[/b] [red]test", rounds=2), live=request.param)


def test_a_run_is_told_from_its_first_line_to_its_files(shown: Recorded, tmp_path: Path) -> None:
    run, made = settings(tmp_path, rounds=2, threshold_for="recall=0.8"), state(0.5, 0.4)
    with shown.console as screen:
        screen.phase("join")
        screen.event("joined", client="clinic")
        screen.phase("rounds")
        for number, loss in ((1, 0.5), (2, 0.4)):
            screen.round(entry(number, loss))
        told = report.build(run, made, held_out(), {}, None, Value())
        screen.close(told, report.write(told, run, made, held_out(), Drafts()))
    for part in ("[/b] [red]test", "2 rounds, 2 clients", "0.4000", "2/2", "COMPLETE"):
        assert part in shown.text
    for part in ("fraud", "legitimate", "precision", "report.html", "model.joblib", "checkpoint.npz"):
        assert part in shown.text
    said = " ".join(shown.text.split())
    ends = told["intervals"]["roc_auc"]
    assert f"ROC-AUC {told['final']['roc_auc']:.4f} (95 %: {ends['low']:.3f} to {ends['high']:.3f})" in said
    assert "a threshold for recall=0.8" in said
    assert "on rows that did not choose it recall" in said


def test_a_file_gets_one_line_per_event(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = Recorded(monkeypatch, settings(tmp_path), live=False)
    with shown.console as screen:
        screen.event("lost", client="clinic")
        screen.event("rejoined", client="clinic")
        screen.event("update_refused", client="insurer", reason="'coef' has 1 NaN [/] [1, 49]")
        screen.event("resumed", after_round=2)
        screen.round(entry(1, 0.5, "insurer"))
    assert shown.text.splitlines()[1:5] == [
        "clinic lost, may come back",
        "clinic back again",
        "insurer update refused: 'coef' has 1 NaN [/] [1, 49]",
        "resumed",
    ]
    assert "round   1  1.50 s" in shown.text
    assert "clients 1/2" in shown.text


def test_a_terminal_shows_where_each_client_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clients = [{"name": f"client-{at}", "mailbox": "file:///mail"} for at in range(30)]
    shown = Recorded(monkeypatch, settings(tmp_path, clients=clients), live=True)
    with shown.console as screen:
        screen.event("joined", client="client-3")
        screen.event("update_refused", client="client-4", reason="NaN")
    assert "client-3: ready" in shown.text
    assert "client-4: update refused" in shown.text
    assert "client-5: awaited" in shown.text
    assert "and 18 more" in shown.text


@pytest.mark.parametrize("verdict", ["COMPLETE", "PARTIAL", "FAILED"])
def test_the_verdict_comes_with_its_reason_whatever_that_quotes(
    shown: Recorded, tmp_path: Path, verdict: str
) -> None:
    error = FedstackError(ExitCode.QUORUM, "Round 1: clinic: [/] [bold]x", "Mend [it].")
    told = report.build(settings(tmp_path), None, held_out(), {}, error, Value()) | {"verdict": verdict}
    shown.console.close(told, {"report": tmp_path / "[out]" / "report.json"})
    assert "Round 1: clinic: [/] [bold]x Mend [it]." in shown.text
    assert "[out]/report.json" in shown.text
    assert verdict in shown.text


def test_undefined_scores_do_not_break_a_round(shown: Recorded) -> None:
    made = entry(1, 0.5)
    made["test"]["roc_auc"] = float("nan")
    with shown.console as screen:
        screen.round(made)
    assert "nan" in shown.text


def test_every_phase_and_every_standing_has_words(shown: Recorded) -> None:
    with shown.console as screen:
        for phase in console.PHASES:
            screen.phase(phase)
        for kind in console.STANDINGS:
            screen.event(kind, client="clinic", reason="because")
    assert set(console.COLOURS) == {"COMPLETE", "PARTIAL", "FAILED"}
