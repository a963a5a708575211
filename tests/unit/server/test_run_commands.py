"""status, stop, report and verify: of a run that goes on, was killed, or is over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from assembly import ROOT
from fedstack_line import as_before, call  # noqa: F401 - a fixture
from ledger_pair import Pair

from runtime.contract import FedstackError
from runtime.ledger import Ledger
from runtime.server.jobs import started
from runtime.server.run import lock

ARN = "arn:aws:states:eu-west-1:222222222222:execution:cms-north:run-1"
NORTH = {
    "name": "north",
    "mailbox": "s3://mail",
    "kickoff": "broker",
    "region": "eu-west-1",
    "kickoff_role_arn": "arn:aws:iam::222222222222:role/kickoff",
    "external_id": "cms",
    "state_machine_arn": "arn:aws:states:eu-west-1:222222222222:stateMachine:cms-north",
}
SOUTH = {"name": "south", "mailbox": "file:///mail/south"}
SETTINGS = {"run_id": "run-1", "name": "cms", "rounds": 7, "clients": [NORTH, SOUTH], "engine": "link"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run in its third round."""
    folder = tmp_path / "out"
    ledger = Ledger(folder / "ledger.jsonl")
    ledger.write("run", settings=SETTINGS)
    ledger.write("started", client="north", by="broker", what=ARN)
    ledger.write("joined", client="north")
    ledger.write("joined", client="south")
    ledger.write("round", round=3, test={"roc_auc": 0.87, "log_loss": 0.2})
    ledger.write("lost", client="south", reason="its link broke")
    return folder


def test_a_run_that_goes_on_is_told_with_round_scores_and_clients(out: Path) -> None:
    with lock.held(out, "run-1"):
        said = call("status", "--out", out)
        told = json.loads(call("status", "--out", out, "--json").out)
    assert said.code == 0
    for part in ("cms", "run-1", "running", "3 of 7", "roc_auc 0.8700", "ready", "its link broke"):
        assert part in said.out
    assert (told["state"], told["round"], told["rounds"], told["pid"]) == ("running", 3, 7, os.getpid())
    assert told["clients"] == {"north": "ready", "south": "lost, may come back: its link broke"}


def test_a_run_without_process_and_verdict_was_killed(out: Path) -> None:
    (out / "checkpoint.npz").touch()
    said = call("status", "--out", out)
    assert "killed" in said.out
    assert "`--resume` goes on from it" in said.out


def test_watching_ends_with_the_verdict(out: Path) -> None:
    Ledger(out / "ledger.jsonl").write("verdict", verdict="PARTIAL", reason="south left")
    said = call("status", "--out", out, "--watch", "--json")
    (told,) = map(json.loads, said.out.splitlines())
    assert (told["state"], told["reason"]) == ("PARTIAL", "south left")


def test_the_next_run_of_a_folder_is_another_one(out: Path) -> None:
    with lock.held(out, "run-2"):
        told = json.loads(call("status", "--out", out, "--json").out)
    assert (told["state"], told["run_id"], told["round"]) == ("running", "run-2", 0)


def test_two_runs_do_not_write_into_one_folder(out: Path) -> None:
    refused = pytest.raises(FedstackError, match=r"run-1 \(process \d+\) writes into")
    with lock.held(out, "run-1"), refused, lock.held(out, "run-2"):
        pass
    with lock.held(out, "run-2"):
        assert lock.holder(out) == (os.getpid(), "run-2")
    assert lock.holder(out) is None


class Role:
    """The server's role in a client's account, and what is done with it."""

    calls: ClassVar[list[tuple[str, dict[str, Any]]]] = []
    status = "RUNNING"

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def client(self, service: str) -> Self:
        assert service == "stepfunctions"
        return self

    def describe_execution(self, **asked: Any) -> dict[str, Any]:
        self.calls.append(("describe", asked))
        return {"status": self.status}

    def stop_execution(self, **asked: Any) -> None:
        self.calls.append(("stop", asked))


@contextmanager
def server_in(out: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a run's lock, and writes its verdict when it is asked to end."""
    code = (
        "import signal, sys, time\nfrom pathlib import Path\nfrom runtime.ledger import Ledger\n"
        "from runtime.server.run import lock\nout = Path(sys.argv[1])\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        "with lock.held(out, 'run-1'):\n"
        "    try:\n"
        "        print('holds', flush=True)\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        Ledger(out / 'ledger.jsonl').write('verdict', verdict='FAILED', reason='')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(out)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        try:
            yield process
        finally:
            process.kill()


def test_stopping_ends_the_server_and_then_jobs_that_it_left(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(started, "KickoffRole", Role)
    monkeypatch.setattr(Role, "calls", [])
    with server_in(out) as process:
        said = call("stop", "--out", out, "--json")
        assert process.wait(30) == 0
    told = json.loads(said.out)
    assert f"process {process.pid}" in told["server"]
    assert told["jobs"] == {"north": "stopped"}
    assert Role.calls[-1] == ("stop", {"executionArn": ARN, "cause": "fedstack stop"})
    assert json.loads(call("status", "--out", out, "--json").out)["state"] == "FAILED"


def test_a_job_that_is_over_is_not_stopped_and_status_asks_for_it(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(started, "KickoffRole", Role)
    monkeypatch.setattr(Role, "calls", [])
    monkeypatch.setattr(Role, "status", "SUCCEEDED")
    assert json.loads(call("status", "--out", out, "--jobs", "--json").out)["jobs"] == {"north": "completed"}
    assert json.loads(call("stop", "--out", out, "--json").out)["jobs"] == {"north": "completed"}
    assert {kind for kind, _ in Role.calls} == {"describe"}
    Ledger(out / "ledger.jsonl").write("job_completed", client="north")
    assert json.loads(call("stop", "--out", out, "--json").out)["jobs"] == {}


def test_verify_says_for_a_program_whether_ledgers_are_sound(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.end()
    assert json.loads(call("verify", pair.server, "--json").out)["sound"] is True
    pair.server.write_text(pair.server.read_text().replace("clinic", "clinig", 1))
    said = call("verify", pair.server, pair.client, "--json")
    assert (said.code, json.loads(said.out)["sound"]) == (1, False)
    assert said.err == ""


def test_an_interrupted_lock_says_nothing_of_who_holds_it(tmp_path: Path) -> None:
    (tmp_path / lock.FILE).write_text("")
    assert lock.holder(tmp_path) is None
    assert lock.holder(tmp_path / "nowhere") is None
