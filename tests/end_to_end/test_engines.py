"""The same two apps on Flower's own engines."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import joblib
import numpy as np
import psutil
import pytest

from rehearsal.link.place import Place, parted
from rehearsal.link.processes import Federation
from runtime.client.privacy_policy import PrivacyPolicy
from runtime.contract import ExitCode, FedstackError
from runtime.server.engines import flower as flower_engines
from runtime.tabular.data.silos import Split
from runtime.tabular.server.settings import RunSettings


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


ALLOWED = {"FEDSTACK_PRIVACY_UPDATES": "plain", "FEDSTACK_PRIVACY_MIN_ROWS": "1"}
"""The policy of virtual clients, which have no config of their own: their process's."""


def left_over(root: Path) -> list[str]:
    """Return the processes that still run in, or with files of, a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(root) in (line := " ".join(process.info["cmdline"] or [])):
            found.append(line)
    return found


def test_a_demo_of_many_virtual_clients_goes_on_to_its_end_however_few_rows_each_has(tmp_path: Path) -> None:
    """By the documented command, where silos are so small that owners on AWS would refuse to answer."""
    options = ("--local", "--engine=simulation", "--clients=120", "--split=label", f"--out={tmp_path}")
    command = [sys.executable, "-m", "fedstack", "demo", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], len(report["clients"])) == ("COMPLETE", 120)
    assert min(one["samples"] for one in report["clients"]) < PrivacyPolicy.min_rows
    assert "sees each client's updates, however few its rows are" in " ".join(done.stdout.split())
    assert report["final"]["roc_auc"] > 0.8


def test_virtual_clients_on_the_simulation_engine(tmp_path: Path) -> None:
    names = tuple(f"silo-{at}" for at in range(12))
    place = Place(tmp_path, names, Split.IID)
    with closing(Federation(place)) as federation:
        options = ("--engine=simulation", f"--silos={place.silos}", f"--address={free_address()}")
        server = federation.server(*options, "--rounds=1", invites=False, environment=ALLOWED)
        assert server.end() == 0, server.text
    report = place.report()
    assert (report["verdict"], report["engine"]) == ("COMPLETE", "simulation")
    assert report["privacy"]["visible"] == list(names)
    assert [one["status"] for one in report["clients"]] == ["contributed to every round"] * 12
    assert [len(entry["clients"]) for entry in report["rounds"]] == [12]
    assert sum(one["samples"] for one in report["clients"]) > 3_000
    assert report["value_missing"] is None
    assert all(one["value"]["rows"] > 0 for one in report["clients"])
    alone, together = (
        np.mean([one["value"][model]["log_loss"] for one in report["clients"]])
        for model in ("local_only", "federated")
    )
    assert together < alone
    assert report["final"]["roc_auc"] > 0.8
    assert left_over(tmp_path) == []


@pytest.mark.timeout(600)  # Flower starts a process per message
def test_two_supernodes_on_a_superlink(tmp_path: Path) -> None:
    place = Place(tmp_path, ("silo-0", "silo-1"))
    with closing(Federation(place)) as federation:
        options = ("--engine=superlink", f"--address={free_address()}", "--join-seconds=100")
        server = federation.server(*options, "--rounds=1", "--validation=0")
        invitation = json.loads((place.out / "invitation.json").read_text())
        for name in place.names:
            node = {"name": name, "data": place.silo(name), "model-dir": place.model(name).parent}
            node |= {"output-dir": tmp_path / name, "privacy-updates": "plain", "privacy-min-rows": "1"}
            home = tmp_path / f"home-{name}"
            home.mkdir()
            command = [str(Path(sys.executable).with_name("flower-supernode"))]
            command += ["--superlink", invitation["superlink"]]
            command += ["--root-certificates", invitation["root-certificates"]]
            command += ["--port", free_address().rpartition(":")[2]]
            command += ["--node-config", " ".join(f'{key}="{value}"' for key, value in node.items())]
            federation.start(command, f"{name}.log", flower_engines.flower_environment(home))
        assert server.end(500) == 0, server.text
    report = place.report()
    assert (report["verdict"], report["engine"]) == ("COMPLETE", "superlink")
    assert [one["status"] for one in report["clients"]] == ["contributed to every round"] * 2
    rows = parted()[1].x
    ours = joblib.load(place.out / "model.joblib").predict_proba(rows)
    for name in place.names:
        np.testing.assert_array_equal(joblib.load(place.model(name)).predict_proba(rows), ours)
    assert left_over(tmp_path) == []


def settings(place: Place, **given: object) -> RunSettings:
    roster = json.loads(place.roster.read_text())
    place.out.mkdir()
    return RunSettings.model_validate(
        roster | {"strategy": "fedavg", "updates": "plain", "test_data": place.test, "out": place.out} | given
    )


def test_a_run_on_flower_that_takes_too_long_ends_at_its_deadline(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_too_long(command: list[str], **options: float) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr("subprocess.run", take_too_long)
    with pytest.raises(FedstackError, match="more than 7 s") as raised:
        flower_engines._submit(settings(place, run_seconds=7), place.out / "settings.json", place.root)
    assert raised.value.code is ExitCode.RUN_DEADLINE


def test_an_engine_that_does_not_start_is_an_error_and_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(place.root / "python"))
    (place.root / "flower-superlink").write_text("#!/bin/sh\nexit 3\n")
    (place.root / "flower-superlink").chmod(0o755)
    run = settings(place, address=free_address(), engine="superlink")
    with pytest.raises(FedstackError, match="does not listen") as raised:
        flower_engines.run_on_superlink(run, place.out / "settings.json")
    assert raised.value.code is ExitCode.ENGINE
    assert left_over(place.root) == []
