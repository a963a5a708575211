"""What holds a drill against its expectation: it must fail where a fault is not handled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ledger_pair import Pair, whole_pair
from typer.testing import CliRunner

from rehearsal.drills import __main__ as command
from rehearsal.drills import aws_drills, link_drills
from rehearsal.drills.drill import NO_ROUND, Drill, DrillError, Ground, deadline, perform
from runtime.contract import FedstackError

FAULTS = """missing, slow, flapping, wrong version, wrong certificate, poisoned, NaN, oversized, disk full,
job failed, job stopped, server killed and resumed, mailbox tampered, participation off, 12 silent streams,
2,000 idle TCP connections"""


class Left(Ground):
    """What a run left, as a test wrote it."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        out.mkdir()
        self.clients: dict[str, Path] = {}

    def ledgers(self) -> Mapping[str, Path]:
        return self.clients

    def report(self, verdict: str) -> None:
        (self.run.out / "report.json").write_text(json.dumps({"verdict": verdict}))


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path / "out")


def drill(act: Callable[[Left], Any], expected: str = "COMPLETE 0") -> Drill[Left]:
    return Drill("a fault", "something is done", expected, act)


def ends(left: Left, verdict: str = "COMPLETE", code: int = 0) -> None:
    left.report(verdict)
    left.run.note_end(code, "")


def test_every_fault_that_was_asked_for_has_a_drill_of_its_own() -> None:
    wanted = {name.strip() for name in FAULTS.replace("2,000", "2;000").replace("\n", " ").split(",")}
    assert {name.replace("2,000", "2;000") for name in command.NAMES} == wanted
    assert len(command.NAMES) == len(set(command.NAMES))


def test_a_drill_passes_only_with_the_verdict_and_the_code_that_it_must_end_with(left: Left) -> None:
    assert perform(drill(ends), left).passed
    for verdict, code in (("PARTIAL", 22), ("COMPLETE", 1), ("FAILED", 0)):
        again = Left(left.run.out.with_name(verdict))
        result = perform(drill(lambda it, v=verdict, c=code: ends(it, v, c)), again)  # type: ignore[misc]
        assert (result.passed, result.got) == (False, f"{verdict} {code}")


def test_each_run_of_the_server_counts_and_a_killed_one_has_no_verdict(left: Left) -> None:
    def act(left: Left) -> None:
        left.run.note_end(-9, "COMPLETE")
        left.run.note_end(24, "round 1\nFAILED  The ledger cannot be written.\n")  # its disk took no report
        ends(left)

    assert perform(drill(act, "killed, then FAILED 24, then COMPLETE 0"), left).passed


@pytest.mark.parametrize("error", [DrillError("unnamed"), TimeoutError("for ever"), OSError("no such file")])
def test_whatever_goes_wrong_in_a_drill_is_told_and_the_others_go_on(left: Left, error: Exception) -> None:
    def act(left: Left) -> None:
        ends(left)
        raise error

    result = perform(drill(act), left)
    assert not result.passed
    assert result.got == f"COMPLETE 0; {type(error).__name__}: {error}"


def test_a_drill_that_hangs_is_given_up_on() -> None:
    with pytest.raises(TimeoutError, match=r"given up on after 0\.05 s"), deadline(0.05):
        time.sleep(60)


def test_a_ledger_that_does_not_name_the_fault_fails_the_drill(left: Left) -> None:
    pair = Pair(left.run.out)
    pair.server.rename(left.run.out / "ledger.jsonl")
    left.run.expect("joined", "clinic", times=1)
    with pytest.raises(DrillError, match="'joined' of insurer 0 times"):
        left.run.expect("joined", "insurer")
    with pytest.raises(DrillError, match="'joined' of clinic 1 times, not 2 times"):
        left.run.expect("joined", "clinic", times=2)
    with pytest.raises(DrillError, match="0 times"):
        left.run.expect("joined", "clinic", says="a reason")


def test_ledgers_that_do_not_agree_fail_the_drill(left: Left) -> None:
    pair = whole_pair(left.run.out)
    pair.server.rename(left.run.out / "ledger.jsonl")
    left.clients = {"clinic": pair.client, "insurer": left.run.out / "none"}
    assert left.run.agree(left.ledgers()) == "1 + 1 verify"
    pair.client.write_text(pair.client.read_text().replace('"bytes_in": 1000', '"bytes_in": 1001', 1))
    with pytest.raises(DrillError, match=r"the ledgers differ: .*line 2 was changed"):
        left.run.agree(left.ledgers())


def test_a_checkpoint_that_is_lost_fails_the_drill(left: Left) -> None:
    assert left.run.checkpoint() == NO_ROUND
    pair = Pair(left.run.out)
    pair._ours.write("run", settings={}, test_sha256="")
    pair.end()
    pair.server.rename(left.run.out / "ledger.jsonl")
    (left.run.out / "settings.json").write_text("{}")
    with pytest.raises(DrillError, match="the checkpoint is lost: There is no checkpoint at"):
        left.run.checkpoint()


def test_a_table_and_an_exit_code_say_whether_all_ended_as_they_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(ground: link_drills.LinkGround) -> None:
        (ground.run.out).mkdir()
        (ground.run.out / "report.json").write_text('{"verdict": "PARTIAL"}')
        ground.run.note_end(22, "")

    good, bad = (
        Drill(name, "it is", code, act) for name, code in (("good", "PARTIAL 22"), ("bad", "FAILED 1"))
    )
    monkeypatch.setattr(link_drills, "DRILLS", (good, bad))
    monkeypatch.setattr(aws_drills, "DRILLS", ())
    monkeypatch.setattr(command, "NAMES", ["good", "bad"])
    told = tmp_path / "table.json"
    both = CliRunner().invoke(command.cli, ["--out", str(tmp_path / "out"), "--json", str(told)])
    assert both.exit_code == 1
    table = json.loads(told.read_text())
    assert table["passed"] is False
    assert [(one["fault"], one["got"], one["passed"]) for one in table["drills"]] == [
        ("good", "PARTIAL 22", True),
        ("bad", "PARTIAL 22", False),
    ]
    one = CliRunner().invoke(command.cli, ["--out", str(tmp_path / "out"), "--only", "good"])
    assert one.exit_code == 0
    unknown = CliRunner().invoke(command.cli, ["--only", "evil"])
    assert isinstance(unknown.exception, FedstackError)
    assert "There is no drill evil" in unknown.exception.what
