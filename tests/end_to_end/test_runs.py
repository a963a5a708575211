"""Whole runs: what comes out of an undisturbed one, and how deadlines and patience end the others."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import joblib
import numpy as np
import pytest
from flwr.app import Context, Message

from end_to_end.conftest import ROUNDS
from end_to_end.hub import code_of
from end_to_end.inside import App, Inside, bent, honest
from rehearsal.link.place import NAMES, Place, parted
from rehearsal.link.waiting import eventually
from runtime.contract import ExitCode
from runtime.ledger import read
from runtime.model.vouched import vouch
from runtime.tabular import metrics
from runtime.tabular.client.client_app import app
from runtime.tabular.data.dataset import load_csv
from runtime.tabular.data.preparation import prepare
from runtime.tabular.data.schema import CMS
from runtime.tabular.models import Fit, fit_alone, load


def test_an_undisturbed_run_is_complete_and_every_process_exits_with_0(whole: Place) -> None:
    report = whole.report()
    assert (whole.root / "ended").exists()
    assert (report["verdict"], report["code"], report["reason"]) == ("COMPLETE", 0, None)
    assert [one["name"] for one in report["clients"]] == list(NAMES)
    assert {one["status"] for one in report["clients"]} == {"contributed to every round"}
    assert [entry["round"] for entry in report["rounds"]] == list(range(1, ROUNDS + 1))
    for entry in report["rounds"]:
        for part in entry["clients"].values():
            assert part["samples"] > 1_000
            assert part["bytes_up"] > 400
            assert part["bytes_down"] > 400
    assert {"model.joblib", "report.html", "ledger.jsonl"} <= {path.name for path in whole.out.iterdir()}


def test_both_ledgers_tell_the_same_run(whole: Place) -> None:
    server = [one["event"] for one in whole.ledger()]
    assert server.count("round") == ROUNDS
    assert server[-1] == "verdict"
    for name in NAMES:
        mine = read(whole.root / name / "ledger.jsonl")
        assert [one["event"] for one in mine] == [
            "started",
            *["answered"] * (2 * ROUNDS + 2),
            "value",
            "answered",
            "ended",
        ]
        shown = [one for one in whole.ledger() if one["event"] == "trusted" and one["client"] == name]
        assert mine[0]["certificate"] == shown[0]["certificate"]
        assert [one["message"] for one in mine[1:4]] == ["query.prepare", "train", "evaluate"]
        assert f" {2 * ROUNDS + 3} answers of {name} match one to one." in whole.agree(name)


def test_every_account_s_own_ledger_vouches_for_the_model_that_is_the_same_everywhere(whole: Place) -> None:
    ours = vouch(whole.out, None)
    for name in NAMES:
        own = vouch(whole.model(name), whole.root / name / "ledger.jsonl")
        assert (own.sha256, own.side, own.run_id) == (ours.sha256, f"client {name}", ours.run_id)
    assert ours.metrics == whole.report()["final"]


def test_every_client_learns_what_it_gains_and_so_does_the_server(whole: Place) -> None:
    report = whole.report()
    assert report["value_missing"] is None
    for entry in report["clients"]:
        mine = [one for one in read(whole.root / entry["name"] / "ledger.jsonl") if one["event"] == "value"]
        kept = json.loads((whole.root / entry["name"] / "value.json").read_text())
        assert entry["value"] == kept == {key: mine[0][key] for key in kept}
        held = prepare(load_csv(whole.silo(entry["name"]), CMS), validation=0.1, smote=False, seed=0)
        assert (kept["rows"], kept["positives"]) == (len(held.validation), held.validation.y.sum())
        model = joblib.load(whole.model(entry["name"]))
        scores = metrics.scores(held.validation.y, model.predict_proba(held.validation.x)[:, 1])
        assert kept["federated"] == pytest.approx(scores)
        assert kept["federated"] != kept["local_only"]
    assert "each client on its own hold-out" in (whole.root / "server.log").read_text()


def test_every_client_has_the_model_that_the_server_has(whole: Place) -> None:
    rows = parted()[1].x
    ours = joblib.load(whole.out / "model.joblib").predict_proba(rows)
    for name in NAMES:
        np.testing.assert_array_equal(joblib.load(whole.model(name)).predict_proba(rows), ours)


def test_the_federated_model_is_nearly_as_good_as_the_pooled_one(whole: Place) -> None:
    """After few rounds of FedAvg; that FedNewton's is the pooled one is tested where the tables are."""
    rest, test = parted()
    pooled = metrics.scores(test.y, fit_alone(load("logistic"), rest, Fit()).predict_proba(test.x)[:, 1])
    assert whole.report()["final"]["roc_auc"] >= 0.98 * pooled["roc_auc"]


ONLY_SCIKIT_LEARN = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"runtime", "flwr", "grpc", "boto3", "typer", "rich", "imblearn"}:
            raise ImportError(f"this environment has no {name}")
sys.meta_path.insert(0, Refuse())
import csv, joblib, json
rows = [[float(cell) for cell in row[1:]] for row in list(csv.reader(open(sys.argv[2])))[1:]]
print(json.dumps(joblib.load(sys.argv[1]).predict_proba(rows)[:, 1].tolist()))
"""


def test_the_model_needs_nothing_but_scikit_learn(whole: Place) -> None:
    command = [sys.executable, "-I", "-c", ONLY_SCIKIT_LEARN, str(whole.model("clinic")), str(whole.test)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert said.returncode == 0, said.stderr
    y = load_csv(whole.test, CMS).y
    scores = metrics.scores(y, np.array(json.loads(said.stdout)))
    assert scores["roc_auc"] == pytest.approx(whole.report()["final"]["roc_auc"])


def test_with_a_quorum_the_run_goes_on_without_who_never_joined(place: Place) -> None:
    run = Inside(place, honest("clinic", "insurer"), min_clients=2, join_seconds=5)
    report = run.end()
    assert [client.end() for client in run.clients.values()] == [None, None]
    assert (report["verdict"], report["code"]) == ("PARTIAL", ExitCode.PARTIAL)
    assert report["reason"].endswith("pharmacy to 0 of 2 rounds.")
    assert [one["status"] for one in report["clients"]] == ["contributed to every round"] * 2 + [
        "never joined"
    ]
    assert [one["missing"] for one in place.ledger() if one["event"] == "join_deadline"] == [["pharmacy"]]


def test_without_a_quorum_the_join_deadline_names_who_is_missing(place: Place) -> None:
    run = Inside(place, honest("clinic", "insurer"), join_seconds=5)
    report = run.end()
    assert [code_of(client.end()) for client in run.clients.values()] == [ExitCode.ABORTED] * 2
    assert (report["verdict"], report["code"]) == ("FAILED", ExitCode.JOIN_DEADLINE)
    assert "2 of 3 clients joined within 5 s, 3 are needed (missing: pharmacy)" in report["reason"]


def test_a_client_that_hangs_costs_the_run_one_deadline_and_is_set_aside_by_name(place: Place) -> None:
    release = threading.Event()

    def hang(message: Message, context: Context) -> Message:
        if message.metadata.message_type == "train":
            release.wait(120)
        return app(message, context)

    run = Inside(place, honest("insurer", "pharmacy"), min_clients=2, round_seconds=3, rounds=3)
    slow = run.join("clinic", hang, waiting=True)
    report = run.end()
    release.set()
    assert slow.end() is None  # it hears of the orderly end
    assert report["code"] == ExitCode.PARTIAL
    assert "clinic to 0 of 3 rounds (set aside: no reply within 3 s)" in report["reason"]
    assert report["clients"][0]["status"] == "contributed to 0 of 3 rounds (set aside: no reply within 3 s)"
    told = [one["clients"]["clinic"]["status"] for one in report["rounds"]]
    assert told == ["no reply within 3 s", "absent", "absent"]
    assert [one["seconds"] >= 3 for one in report["rounds"]] == [True, False, False]
    assert place.reasons("clinic", "set_aside") == ["no reply within 3 s"]
    assert len(place.events("clinic", "missed")) == 1


def test_a_client_that_was_set_aside_takes_part_again_once_it_has_answered(place: Place) -> None:
    late = threading.Event()

    def slow(message: Message, context: Context) -> Message:
        if message.metadata.message_type == "train" and not late.is_set():
            late.set()
            eventually(lambda: place.events("clinic", "set_aside"), "the round's deadline")
        return app(message, context)

    def patient(message: Message, reply: Message) -> Message:
        if message.content.config_records["config"]["server-round"] == 2:
            eventually(lambda: place.events("clinic", "taken_back"), "the late answer")
        return reply

    both: dict[str, App] = {"insurer": bent(patient), "pharmacy": app}
    run = Inside(place, both, min_clients=2, round_seconds=6, rounds=4)
    run.join("clinic", slow, waiting=True)
    report = run.end()
    told = [one["clients"]["clinic"]["status"] for one in report["rounds"]]
    assert (told[0], told[2:]) == ("no reply within 6 s", ["ok", "ok"])
    assert "set aside" not in report["reason"]
    assert place.events("clinic", "set_aside", "taken_back") == ["set_aside", "taken_back"]


def test_the_run_deadline_ends_a_run_with_what_it_has(place: Place) -> None:
    run = Inside(place, honest(*NAMES), rounds=10_000, run_seconds=5)
    report = run.end()
    assert code_of(run.error) is ExitCode.RUN_DEADLINE
    assert {code_of(client.end()) for client in run.clients.values()} <= {
        ExitCode.ABORTED,
        ExitCode.RUN_DEADLINE,
    }
    assert (report["verdict"], report["code"]) == ("FAILED", ExitCode.RUN_DEADLINE)
    assert 0 < len(report["rounds"]) < 10_000
    assert place.out.joinpath("checkpoint.npz").exists()


def test_the_run_deadline_also_ends_a_round_that_hangs(place: Place) -> None:
    release = threading.Event()

    def hang(message: Message, reply: Message) -> Message:
        release.wait(120)
        return reply

    run = Inside(place, honest("insurer", "pharmacy"), run_seconds=4, round_seconds=600)
    slow = run.join("clinic", bent(hang), waiting=True)
    report = run.end()
    release.set()
    slow.end()
    assert report["code"] == ExitCode.RUN_DEADLINE


def test_a_run_without_progress_stops_early_and_keeps_the_best_model(place: Place) -> None:
    run = Inside(place, honest(*NAMES), rounds=200, iterations=1_000, patience=2)
    report = run.end()
    assert [client.end() for client in run.clients.values()] == [None] * 3
    assert (report["verdict"], report["stopped_early"]) == ("COMPLETE", True)
    losses = [entry["test"]["log_loss"] for entry in report["rounds"]]
    best = report["best_round"]
    assert len(losses) == best + 2 < 200
    assert losses[best - 1] == min(losses) == report["final"]["log_loss"]


def test_moments_that_cannot_be_read_are_refused_and_the_run_goes_on(place: Place) -> None:
    def bend(message: Message, reply: Message) -> Message:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}\n"
        data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        reply.content.array_records["moments"]["mean"].data = data
        return reply

    bad = {"clinic": bent(bend, "query.prepare")}
    run = Inside(place, honest("insurer", "pharmacy") | bad, min_clients=2)
    report = run.end()
    assert place.reasons("clinic", "moments_refused")[0].startswith("'mean' cannot be decoded")
    told = [entry["clients"]["clinic"]["samples"] for entry in report["rounds"]]
    assert {report["clients"][0]["samples"]} == set(told)  # it trains all the same, with the others' scaler
    assert report["final"]["roc_auc"] > 0.7


def test_rubbish_in_a_mailbox_locks_out_nobody_and_may_be_mended(place: Place) -> None:
    run = Inside(place, {}, rounds=1)
    run.post("pharmacy", b"no certificate")
    eventually(lambda: place.events("pharmacy", "certificate_refused"), "the refusal")
    clients = [run.join(name) for name in NAMES]
    assert run.end()["verdict"] == "COMPLETE"
    assert [client.end() for client in clients] == [None] * 3
    assert place.events("pharmacy")[:2] == ["certificate_refused", "trusted"]
