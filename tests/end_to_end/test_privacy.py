"""Differential privacy and secure aggregation over the link, server and clients as processes."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rehearsal.data import Silos, cut
from rehearsal.processes import Processes
from runtime.client.signing_key import make_file
from runtime.contract import ExitCode
from runtime.privacy.budget import Budget
from runtime.tabular.data.silos import Split

CLIENTS = 3
DELTA = 1e-5


@pytest.fixture
def silos(tmp_path: Path) -> Silos:
    return cut(None, tmp_path / "data", clients=CLIENTS, how=Split.IID, seed=0)


def run(folder: Path, silos: Silos, server: list[str], floor: list[str]) -> tuple[int, dict[str, int]]:
    """Run one federation; return the server's exit code and each client's."""
    out = folder / "out"
    roster = [{"name": name, "mailbox": f"file://{folder / name / 'mailbox'}"} for name in silos.silos]
    folder.mkdir()
    keys = {name: make_file(folder / "keys" / f"{name}.pem") for name in silos.silos}
    (folder / "federation.json").write_text(json.dumps({"name": "private", "clients": roster}))
    with Processes() as processes:
        options = {
            "federation": folder / "federation.json",
            "test-data": silos.test_file,
            "out": out,
            "address": "127.0.0.1:0",
            "join-seconds": 60,
            "round-seconds": 60,
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        serving = processes.python("runtime.server.server", *given, *server, log=folder / "server.log")
        invitation = wait_for(out / "invitation.json", serving)
        clients = {}
        for name in silos.silos:
            own = {
                **invitation,
                "client-name": name,
                "mailbox": f"file://{folder / name / 'mailbox'}",
                "data": silos.file(name),
                "model-dir": folder / name / "model",
                "output-dir": folder / name / "output",
                "privacy-ledger": f"file://{ledger(folder, name)}",
                "privacy-signing-key": f"file://{folder / 'keys' / name}.pem",
            }
            own |= {f"privacy-cohort-{n}": f"{o}={keys[o]}" for n, o in enumerate(keys, 1) if o != name}
            (folder / name).mkdir()
            said = [f"--{option}={value}" for option, value in own.items()]
            log = folder / name / "client.log"
            clients[name] = processes.python("runtime.client.client", *said, *floor, log=log)
        code = serving.wait(120)
        return code, {name: client.wait(60) for name, client in clients.items()}


def wait_for(path: Path, server: subprocess.Popen[bytes]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def ledger(folder: Path, name: str) -> Path:
    return folder.parent / "ledgers" / name  # outlives the run


def test_both_on_and_the_budget_outlives_the_run(tmp_path: Path, silos: Silos) -> None:
    server = ["--strategy=fednewton", "--rounds=4", "--privacy-epsilon=3", "--updates=sums"]
    floor = ["--privacy-epsilon-budget=4", "--privacy-min-noise-multiplier=1"]
    code, clients = run(tmp_path / "first", silos, server, floor)
    assert (code, set(clients.values())) == (0, {0})
    report = json.loads((tmp_path / "first/out/report.json").read_text())
    assert report["verdict"] == "COMPLETE"
    assert (report["privacy"]["updates"], report["privacy"]["visible"]) == ("sums", [])
    told = report["privacy"]["differential_privacy"]["clients"]
    for name in silos.silos:
        spent = Budget(f"file://{ledger(tmp_path / 'first', name)}", None, DELTA).entries()
        assert len(spent) == 4
        assert told[name]["epsilon"] == pytest.approx(spent[-1]["epsilon"]) == pytest.approx(3.0)
        assert (tmp_path / "first" / name / "model" / "model.joblib").exists()

    code, clients = run(tmp_path / "second", silos, server, floor)
    assert code == ExitCode.QUORUM
    assert set(clients.values()) == {ExitCode.PRIVACY_BUDGET}
    log = (tmp_path / "second" / "silo-0" / "client.log").read_text()
    assert (
        "fedstack-error 17 PRIVACY_BUDGET: The privacy budget is epsilon 4 at delta 1e-05; 3 is spent" in log
    )


def test_a_server_that_asks_for_no_privacy_gets_nothing(tmp_path: Path, silos: Silos) -> None:
    code, clients = run(tmp_path / "run", silos, ["--rounds=2"], ["--privacy-epsilon-budget=4"])
    assert code == ExitCode.QUORUM
    assert set(clients.values()) == {ExitCode.PRIVACY_POLICY}
    log = (tmp_path / "run" / "silo-0" / "client.log").read_text()
    assert "fedstack-error 18 PRIVACY_POLICY: This client's privacy policy refuses it: " in log


def test_by_default_updates_leave_in_sums_only_and_plain_ones_are_refused(
    tmp_path: Path, silos: Silos
) -> None:
    code, clients = run(tmp_path / "sums", silos, [], [])
    assert (code, set(clients.values())) == (0, {0})
    report = json.loads((tmp_path / "sums/out/report.json").read_text())
    assert (report["privacy"]["updates"], report["privacy"]["visible"]) == ("sums", [])
    code, clients = run(tmp_path / "plain", silos, ["--rounds=2", "--updates=plain"], [])
    assert code == ExitCode.QUORUM
    assert set(clients.values()) == {ExitCode.PRIVACY_POLICY}
    log = (tmp_path / "plain" / "silo-0" / "client.log").read_text()
    assert "would be visible to the server" in log


def test_what_an_owner_allowed_to_be_seen_is_said_aloud(tmp_path: Path, silos: Silos) -> None:
    code, _ = run(
        tmp_path / "plain",
        silos,
        ["--strategy=fedavg", "--rounds=1", "--updates=plain"],
        ["--privacy-updates=plain"],
    )
    assert code == 0
    said = "updates of silo-0, silo-1, silo-2 were visible to the server"
    assert said in (tmp_path / "plain" / "server.log").read_text()
    assert said[1:] in (tmp_path / "plain" / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--privacy-ledger=nowhere"], "The privacy ledger is 'nowhere'"),
        (["--privacy-delta=2"], "delta is 2.0"),
        (["--privacy-epsilon-budget=nan", "--privacy-ledger=file:///l"], "epsilon_budget is nan"),
        (["--privacy-min-noise-multiplier=nan"], "min_noise_multiplier is nan"),
        (["--privacy-min-cohort=2"], "min_cohort is 2, and a sum has 3 members at least"),
        (["--privacy-min-rows=0", "--privacy-max-answers=0"], "min_rows is 0; max_answers is 0"),
        (["--privacy-updates=noise"], "updates is 'noise' without epsilon_budget"),
        (["--privacy-cohort=south"], "--privacy-cohort is 'south'"),
        (["--privacy-ledger=", "--privacy-epsilon-budget=1"], "no ledger to keep it in is named"),
    ],
)
def test_a_floor_that_is_none_is_refused_at_once(tmp_path: Path, option: list[str], message: str) -> None:
    fingerprint = "sha256:" + "0" * 64
    given = ["--run-id=run-x", "--server-address=127.0.0.1:9", f"--server-fingerprint={fingerprint}"]
    given += ["--client-name=silo-0", f"--mailbox=file://{tmp_path}", f"--output-dir={tmp_path}"]
    with Processes() as processes:
        client = processes.python("runtime.client.client", *given, *option, log=tmp_path / "log")
        assert client.wait(60) == ExitCode.CONFIG
    assert message in (tmp_path / "log").read_text()
