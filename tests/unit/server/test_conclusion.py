"""A run's end: report and ledger say the same, on a disk that is full and when it is stopped then."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from rehearsal.in_process import Federation
from runtime import ledger
from runtime.command_line import stop
from runtime.contract import ExitCode, FedstackError
from runtime.server.report import files
from runtime.server.report.files import Drafts
from runtime.server.run.lifecycle import Lifecycle

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.joblib.tmp")


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation.cut(tmp_path, clients=3, rows=600)


def verdicts(out: Path) -> tuple[str | None, list[str]]:
    """Return what the report says, if there is one, and all that the ledger says."""
    report = out / "report.json"
    told = json.loads(report.read_text())["verdict"] if report.exists() else None
    return told, [e["verdict"] for e in ledger.read(out / "ledger.jsonl") if e["event"] == "verdict"]


def test_a_model_that_there_is_no_room_for_is_no_complete_run(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, place: Path) -> None:
        place.write_bytes(b"half of a model")
        raise FULL

    monkeypatch.setattr("joblib.dump", full)
    with pytest.raises(FedstackError, match="cannot be written") as raised:
        federation.run(strategy="fedavg", rounds=1)
    out = federation.folder / "out"
    assert raised.value.code == ExitCode.ENGINE
    assert verdicts(out) == ("FAILED", ["FAILED"])
    assert not (out / "model.joblib").exists()
    assert not list(out.glob("*.tmp"))


def test_a_disk_that_takes_no_report_leaves_none_that_says_complete(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = federation.folder / "out"
    out.mkdir()
    (out / "report.json").write_text('{"verdict": "COMPLETE", "run_id": "an earlier one"}')

    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(Drafts, "write", full)
    with pytest.raises(FedstackError):
        federation.run(strategy="fedavg", rounds=1)
    assert verdicts(out) == (None, ["FAILED"])


def test_a_ledger_that_takes_no_verdict_leaves_a_failed_report(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ledger.Ledger.write

    def full(self: ledger.Ledger, event: str, **details: Any) -> str:
        if details.get("verdict") == "COMPLETE":
            raise FedstackError(ExitCode.ENGINE, "The ledger cannot be written.", "Make room.")
        return write(self, event, **details)

    monkeypatch.setattr(ledger.Ledger, "write", full)
    with pytest.raises(FedstackError, match="ledger cannot be written"):
        federation.run(strategy="fedavg", rounds=1)
    assert verdicts(federation.folder / "out") == ("FAILED", ["FAILED"])


@pytest.mark.parametrize("moment", ["before the ledger", "between ledger and report"])
def test_a_stop_at_the_end_comes_before_it_or_after(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Either the run was stopped, and all say so; or it was complete, and all say that."""
    settle, publish = Lifecycle._settle, Drafts.publish
    stopped: list[bool] = []

    def once() -> None:
        if not stopped:
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    def settles(self: Lifecycle) -> None:
        settle(self)
        if moment == "before the ledger":
            once()

    def publishes(self: Drafts) -> None:
        if moment == "between ledger and report":
            once()
        publish(self)

    monkeypatch.setattr(Lifecycle, "_settle", settles)
    monkeypatch.setattr(files.Drafts, "publish", publishes)
    with pytest.raises(KeyboardInterrupt):
        federation.run(strategy="fedavg", rounds=1)
    said = "FAILED" if moment == "before the ledger" else "COMPLETE"
    assert verdicts(federation.folder / "out") == (said, [said])


def test_a_deferred_stop_comes_at_the_end_of_the_block() -> None:
    done: list[bool] = []

    def block() -> None:
        with stop.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
