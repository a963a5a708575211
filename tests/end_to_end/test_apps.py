"""Flower apps over processes of this machine: mutual TLS, sums, evidence on both sides, other engines."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from app_federation import write_app

from runtime.contract import ExitCode, FedstackError
from runtime.link.client import LinkClient
from runtime.link.exchange import Exchange
from runtime.link.identity import SERVER_NAME, make_identity
from runtime.link.server import LinkServer
from runtime.sides import load
from runtime.verify import verdict

EXAMPLES = Path(__file__).parents[2] / "examples"
CURIOUS = """
    from pathlib import Path
    from flwr.app import MetricRecord, RecordDict, Message
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.query()
    def handle(message, context):
        Path("/etc/hostname").read_bytes()
        metrics = MetricRecord({"num-examples": 40, "place": context.node_config["partition-id"]})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)
"""
ASKING = """
    from flwr.app import Message, RecordDict
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()
    def main(grid, context):
        for _ in range(context.run_config["rounds"]):
            grid.send_and_receive([Message(RecordDict(), node, "query") for node in grid.get_node_ids()])
"""


def rehearse(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedstack", "demo", "--local", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


def test_an_app_in_sums_leaves_evidence_that_agrees(tmp_path: Path) -> None:
    done = rehearse(
        f"--out={tmp_path}", f"--app={EXAMPLES / 'wine-softmax'}", "--run-config=num-server-rounds=2"
    )
    assert done.returncode == 0, done.stderr
    assert "updates: plain" not in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], report["privacy"]) == (
        "COMPLETE",
        {"updates": "sums", "visible": [], "differential_privacy": None},
    )
    assert report["app"]["run_config"]["num-server-rounds"] == 2
    train = next(one for one in report["messages"] if one["kind"] == "train")
    assert (train["messages"], train["exchanged"]) == (6, 6)
    assert train["bytes_up"] > 0
    for name in ("silo-0", "silo-1", "silo-2"):
        theirs = load(tmp_path / "rehearsal" / name / "output" / "ledger.jsonl")
        said = verdict([load(tmp_path / "ledger.jsonl"), theirs])
        assert f"answers of {name} match one to one" in said


def test_an_app_gets_the_parts_of_a_folder_and_what_it_reads_elsewhere_is_in_the_ledger(
    tmp_path: Path,
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    for name in ("b.csv", "a.csv"):
        (parts / name).write_text("x\n1\n")
    app = write_app(tmp_path / "app", ASKING, CURIOUS)
    done = rehearse(f"--out={tmp_path / 'out'}", f"--app={app}", f"--data={parts}", "--clients=2")
    assert done.returncode == 0, done.stderr
    assert "2 parts (a.csv, b.csv); test set none" in done.stdout
    assert "this rehearsal wrote `updates: plain` into every client's account" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["curves"]["query: place"] == [[1, 0.5], [2, 0.5]]
    lines = (tmp_path / "out" / "rehearsal" / "silo-1" / "output" / "ledger.jsonl").read_text().splitlines()
    acts = [entry for entry in map(json.loads, lines) if entry["event"] == "app_opened"]
    assert [(entry["what"], entry["message"]) for entry in acts] == [("/etc/hostname", "query")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--run-config=round=2",), "did you mean"),
        (("--run-config=rounds=many",), "format"),
        (("--updates=sums",), "declares no|does not declare"),
        (("--clients=4",), "has 2 parts"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    (tmp_path / "parts").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "parts" / name).write_text("x\n1\n")
    app = write_app(tmp_path / "app", ASKING, CURIOUS)
    more = () if "sums" in options[0] else (f"--data={tmp_path / 'parts'}", "--clients=2")
    done = rehearse(f"--out={tmp_path / 'out'}", f"--app={app}", *more, *options)
    assert done.returncode in (ExitCode.CONFIG, ExitCode.PRIVACY_POLICY)
    assert "Traceback" not in done.stderr
    assert any(word in done.stderr for word in said.split("|"))


HEAVY = """
    import numpy as np
    from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict, Message
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.query()
    def handle(message, context):
        arrays = ArrayRecord({"heavy": Array(np.zeros(2_250_000))})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 40})})
        return Message(content, reply_to=message)
"""


@pytest.mark.parametrize("declared", [None, 19])
def test_how_large_an_answer_may_be_is_what_the_app_declares(tmp_path: Path, declared: int | None) -> None:
    """18 MB in answer to nothing are refused by name where nobody said so."""
    more = "" if declared is None else f"[tool.fedstack]\nlargest-reply-mb = {declared}\n"
    app = write_app(tmp_path / "app", ASKING, HEAVY, config="rounds = 1", more=more)
    (tmp_path / "parts").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "parts" / name).write_text("x\n1\n")
    out, data = tmp_path / "out", tmp_path / "parts"
    done = rehearse(f"--out={out}", f"--app={app}", f"--data={data}", "--clients=2")
    report = json.loads((out / "report.json").read_text())
    if declared is None:
        assert (done.returncode, report["verdict"]) == (ExitCode.QUORUM, "FAILED")
        reason = r"silo-0: the reply has 18,\d{3},\d{3} bytes, the limit is 16,777,216"
        assert re.search(reason, report["reason"])
    else:
        assert (done.returncode, report["verdict"]) == (0, "COMPLETE")


def test_another_app_on_a_client_is_no_member() -> None:
    """Both ends must have the same files."""
    exchange, own = Exchange(["north"]), make_identity(SERVER_NAME, 60)
    server = LinkServer(exchange, own, ["north"], 60, app="0123")
    port, theirs = server.start("127.0.0.1:0"), make_identity("north", 60)
    server.trust({"north": theirs.certificate})
    client = LinkClient(
        *(f"127.0.0.1:{port}", own.fingerprint, theirs, lambda message: message), app="4567", run_seconds=30
    )
    with pytest.raises(FedstackError, match="app: server has 0123, client has 4567") as caught:
        client.run()
    assert caught.value.code is ExitCode.VERSION
    server.stop()


def test_an_app_runs_on_flowers_own_simulation(tmp_path: Path) -> None:
    options = ("--engine=simulation", "--run-config=num-server-rounds=1")
    done = rehearse(f"--out={tmp_path}", f"--app={EXAMPLES / 'wine-softmax'}", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], report["engine"]) == ("COMPLETE", "simulation")
    assert [client["status"] for client in report["clients"]] == ["answered everything"] * 3
    assert report["privacy"]["visible"] == ["silo-0", "silo-1", "silo-2"]


def test_a_survival_curve_over_processes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (tmp_path / "parts").mkdir()
    for name in ("north", "south", "west"):
        with (tmp_path / "parts" / f"{name}.csv").open("w", newline="") as lines:
            rows = np.column_stack([np.ceil(rng.exponential(20, 50)), rng.integers(0, 2, 50)]).tolist()
            csv.writer(lines).writerows([["time", "event"], *rows])
    app, data = EXAMPLES / "kaplan-meier", tmp_path / "parts"
    done = rehearse(f"--out={tmp_path / 'out'}", f"--app={app}", f"--data={data}")
    assert done.returncode == 0, done.stderr
    curve = (tmp_path / "out" / "survival.csv").read_text().splitlines()
    assert curve[0] == "time,at_risk,events,survival"
    assert curve[1].startswith("1.0,150.0,")
