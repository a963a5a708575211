"""Runs with differential privacy: the client's floor holds, and what is reported is what was spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

from rehearsal.in_process import Federation
from runtime.client.privacy_mod import refused
from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.link.client import handle_with
from runtime.privacy.accountant import Spend, epsilon, noise_for
from runtime.privacy.budget import Budget
from runtime.tabular.client.client_app import app
from runtime.tabular.data.schema import CMS
from runtime.tabular.data.silos import Split
from runtime.tabular.models import load
from runtime.tabular.strategies.catalogue import STRATEGIES
from runtime.tabular.strategies.support import SUPPORT, table

DOCS = Path(__file__).parents[3] / "docs"
CLIENTS = [f"silo-{number}" for number in range(3)]
FEATURES = 49


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation.cut(tmp_path, how=Split.IID)


def floors(**options: Any) -> dict[str, dict[str, Any]]:
    given = {f"privacy-{key.replace('_', '-')}": value for key, value in options.items()}
    return {name: {"privacy-updates": "noise", **given} for name in CLIENTS}


def ledger(federation: Federation, name: str) -> list[dict[str, Any]]:
    return Budget(f"file://{federation.folder / 'ledgers' / name}", None, 1e-5).entries()


@pytest.mark.parametrize(("strategy", "releases"), [("fednewton", 6), ("fedavg", 60)])
def test_the_reported_epsilon_is_the_accountants(
    federation: Federation, strategy: str, releases: int
) -> None:
    report = federation.run(strategy=strategy, rounds=6, privacy_epsilon=8.0, page=True)
    told = report["privacy"]["differential_privacy"]
    assert report["verdict"] == "COMPLETE"
    assert told["releases"] == releases
    for name in CLIENTS:
        spent = sum(Spend(entry["noise"], entry["releases"]).cost for entry in ledger(federation, name))
        assert told["clients"][name]["epsilon"] == pytest.approx(epsilon(spent, 1e-5))
        assert told["clients"][name]["epsilon"] == pytest.approx(8.0)
    assert told["epsilon"] == pytest.approx(8.0)
    assert report["final"]["roc_auc"] > 0.78
    page = (federation.folder / "out" / "report.html").read_text()
    assert f"{releases} releases with noise" in page
    assert page.count("<td>8.000</td>") == 6


@pytest.mark.parametrize("strategy", [name for name, support in SUPPORT.items() if support.dp is None])
def test_every_strategy_that_the_table_says_works_does(tmp_path: Path, strategy: str) -> None:
    federation = Federation.cut(tmp_path, clients=3, how=Split.IID, rows=900)
    report = federation.run(strategy=strategy, rounds=2, iterations=3, privacy_epsilon=5.0)
    assert report["verdict"] == "COMPLETE"
    assert set(report["privacy"]["differential_privacy"]["clients"]) == set(CLIENTS)


def test_no_score_nor_loss_nor_moment_of_a_client_leaves_it(federation: Federation) -> None:
    from rehearsal.in_process import MemoryGrid

    seen: list[Message] = []

    class Watching(MemoryGrid):
        def _answer(self, message: Message) -> Message:
            reply = super()._answer(message)
            seen.append(reply)
            return reply

    from rehearsal import in_process as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MemoryGrid", Watching)
        federation.run(strategy="fednewton", rounds=2, privacy_epsilon=3.0)
    arrays = {name for r in seen for record in r.content.array_records.values() for name in record}
    metrics = {name for r in seen for record in r.content.metric_records.values() for name in record}
    assert arrays == {"gradient", "hessian"}
    assert metrics <= {"num-examples", "train-seconds", "epsilon", "epsilon-spent", "delta", "finished"}
    assert "query.value" not in {reply.metadata.message_type for reply in seen}


def test_the_budget_holds_over_runs(federation: Federation) -> None:
    nodes = floors(epsilon_budget=2.0)
    federation.run("first", nodes=nodes, strategy="fednewton", rounds=3, privacy_epsilon=1.5)
    with pytest.raises(FedstackError) as caught:
        federation.run("second", nodes=nodes, strategy="fednewton", rounds=3, privacy_epsilon=1.5)
    assert caught.value.code == ExitCode.QUORUM
    for name in CLIENTS:
        assert f"{name}: The privacy budget is epsilon 2 at delta 1e-05; 1.5 is spent" in caught.value.what
        assert len(ledger(federation, name)) == 3  # nothing was spent on the refused run


def test_one_client_whose_budget_is_spent_is_left_out(federation: Federation) -> None:
    nodes = {"silo-1": {"privacy-updates": "noise", "privacy-epsilon-budget": 0.5}}
    report = federation.run(
        nodes=nodes, strategy="fedavg", rounds=2, iterations=2, privacy_epsilon=1.0, min_clients=2
    )
    assert report["verdict"] == "PARTIAL"
    assert ledger(federation, "silo-1") == [] or len(ledger(federation, "silo-1")) == 1
    events = [json.loads(line) for line in (federation.folder / "out/ledger.jsonl").read_text().splitlines()]
    assert any("The privacy budget is epsilon 0.5" in str(event.get("reason")) for event in events)


@pytest.mark.parametrize(
    ("floor", "settings", "message"),
    [
        (
            {"epsilon_budget": 9.0},
            {"updates": "plain"},
            r"'query.prepare' is not differentially private, and only noise may leave \(epsilon at most 9\)",
        ),
        (
            {"epsilon_budget": 9.0},
            {"updates": "sums"},
            "'query.feature_sums' is not differentially private, and only noise may leave",
        ),
        (
            {"epsilon_budget": 9.0, "updates": "sums"},
            {"privacy_epsilon": 1.0},
            "'query.prepare_private' would be visible to the server",
        ),
        (
            {"min_noise_multiplier": 50.0},
            {"privacy_epsilon": 1.0},
            "noise 6.4\\d* is asked for, at least 50 is needed",
        ),
        ({"updates": "sums"}, {"updates": "plain"}, "'query.prepare' would be visible to the server"),
        (
            {"updates": "sums", "min_cohort": 4},
            {"updates": "sums"},
            "3 members are left to be summed, 4 are needed by silo-0",
        ),
    ],
)
def test_a_server_that_asks_for_less_is_refused(
    federation: Federation, floor: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(FedstackError, match=message):
        federation.run(nodes=floors(**floor), strategy="fednewton", rounds=3, **settings)


def ask(
    node_config: dict[str, Any],
    kind: str,
    config: dict[str, Any],
    tmp_path: Path,
    context: Context | None = None,
) -> Message:
    """Send a client one message as a server that keeps to nothing might."""
    flower.adopt_identity(1)
    node = flower.number_of("silo-0")
    base: dict[str, Any] = {
        "schema": CMS.digest(),
        "validation": 0.0,
        "smote": False,
        "seed": 0,
        "c": 1.0,
        "iterations": 5,
        "class-weight": "none",
    }
    scaler = {"scaler-mean": [0.0] * FEATURES, "scaler-scale": [1.0] * FEATURES}
    arrays = ArrayRecord({"coef": Array(np.zeros((1, FEATURES))), "intercept": Array(np.zeros(1))})
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({**base, **scaler, **config})})
    message = Message(content, node, kind)
    flower.stamp(message, "message-1")
    own = {"name": "silo-0", "data": str(tmp_path / "silo-0.csv"), "privacy-updates": "noise", **node_config}
    if own["privacy-updates"] == "noise" and "privacy-epsilon-budget" not in own:
        own.setdefault(
            "privacy-min-noise-multiplier", 1e-3
        )  # noise is asked for, and as little as there can be
    return handle_with(app, context or Context(1, node, own, RecordDict(), {}))(message)


PRIVATE = {"privacy-noise": 5.0, "privacy-clip": 4.0, "privacy-delta": 1e-5, "privacy-run": "run-x"}


@pytest.mark.parametrize("floor", [{"privacy-epsilon-budget": 5.0}, {"privacy-min-noise-multiplier": 2.0}])
@pytest.mark.parametrize(
    "kind", ["query.prepare", "query.client_gain", "train", "train.default", "train.curvature", "evaluate"]
)
def test_a_policy_of_noise_answers_nothing_but_noise(
    federation: Federation, kind: str, floor: dict[str, float]
) -> None:
    own = {**floor, "privacy-ledger": f"file://{federation.folder}/l"}
    for config in ({}, PRIVATE):
        reply = ask(own, kind, config, federation.folder)
        assert reply.has_error()
        assert "is not differentially private, and only noise may leave" in str(reply.error.reason)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"privacy-noise": 0.0}, "The run's privacy is noise 0"),
        ({"privacy-noise": float("nan")}, "The run's privacy is noise nan"),
        ({"privacy-noise": 1e-2}, "The privacy budget is epsilon 5"),
        ({"privacy-clip": float("inf")}, "clip inf"),
        ({"iterations": 10**6}, "1000000 release"),
        ({"iterations": 0}, "The server's iterations is 0"),
        ({"privacy-noise": "none"}, "The server's privacy-noise is 'none'"),
        ({"smote": True}, "together with validation rows, SMOTE"),
        ({"validation": 0.5}, "together with validation rows, SMOTE"),
        ({"class-weight": "balanced"}, "together with validation rows, SMOTE"),
    ],
)
def test_a_server_cannot_talk_a_client_out_of_its_noise(
    federation: Federation, config: dict[str, Any], message: str
) -> None:
    own = {"privacy-epsilon-budget": 5.0, "privacy-ledger": f"file://{federation.folder}/l"}
    reply = ask(own, "train.private", {**PRIVATE, **config}, federation.folder)
    assert reply.has_error()
    assert message in str(reply.error.reason)
    assert Budget(own["privacy-ledger"], None, 1e-5).entries() == []  # type: ignore[arg-type]


def test_a_scaler_made_to_single_out_a_row_gains_nothing(federation: Federation) -> None:
    own = {"privacy-ledger": f"file://{federation.folder}/l"}
    for scale in (0.0, 1e-300, float("nan")):
        config = {**PRIVATE, "scaler-scale": [scale] * FEATURES}
        with np.errstate(all="ignore"):
            reply = ask(own, "train.private_curvature", config, federation.folder)
        assert not reply.has_error()
        noisy = reply.content.array_records["arrays"]["gradient"].numpy()
        assert np.isfinite(noisy).all()
        assert np.abs(noisy).max() < 4 * 5000  # no more than rows times clip


def test_a_policy_of_sums_does_not_answer_what_a_client_gains(federation: Federation) -> None:
    reply = ask({"privacy-updates": "sums"}, "query.client_gain", {"rounds": 1}, federation.folder)
    assert "'query.client_gain' would be visible to the server" in str(reply.error.reason)


def test_without_a_ledger_nothing_noisy_leaves(federation: Federation) -> None:
    reply = ask({}, "train.private", PRIVATE, federation.folder)
    assert "keeps no privacy ledger" in str(reply.error.reason)


def test_a_repeated_round_is_paid_for_again(federation: Federation) -> None:
    own = {"privacy-ledger": f"file://{federation.folder}/l", "privacy-epsilon-budget": 20.0}
    for expected in (5, 10):
        ask(own, "train.private", PRIVATE, federation.folder)
        spent = Budget(own["privacy-ledger"], None, 1e-5).entries()  # type: ignore[arg-type]
        assert sum(entry["releases"] for entry in spent) == expected


def test_the_table_names_every_strategy_and_is_the_one_of_the_docs() -> None:
    assert set(SUPPORT) == set(STRATEGIES)
    assert table() in (DOCS / "privacy.md").read_text()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("feature", ["dp", "secure", "both"])
def test_what_the_table_refuses_is_refused_before_anything_is_created(
    federation: Federation, strategy: str, feature: str
) -> None:
    reason = getattr(SUPPORT[strategy], feature)
    if reason is None:
        return
    settings: dict[str, Any] = {"model": "trees"} if strategy in load("trees").strategies else {}
    if feature != "secure":
        settings["privacy_epsilon"] = 1.0
    if feature != "dp":
        settings["updates"] = "sums"
    with pytest.raises(FedstackError, match=reason) as caught:
        federation.run(strategy=strategy, **settings)
    assert caught.value.code == ExitCode.CONFIG


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"privacy_epsilon": 1.0, "smote": True}, "privacy refuses smote"),
        ({"updates": "noise"}, "updates is 'noise', but no --privacy-epsilon is given"),
        ({"privacy_epsilon": 1.0, "updates": "plain"}, "noisy updates are not plain"),
        ({"privacy_epsilon": 1.0, "class_weight": "balanced", "strategy": "fedavg"}, "refuses class_weight"),
        ({"privacy_epsilon": 1.0, "validation": 0.1}, "refuses validation rows"),
        ({"privacy_epsilon": 1.0, "updates": "sums", "validation": 0.1}, "refuses validation rows"),
        ({"privacy_epsilon": 1.0, "engine": "superlink"}, "needs --engine link"),
        (
            {"updates": "sums", "min_clients": 2},
            "a federation of 3 that goes on with 2 needs an owner's `updates: plain`, or noise",
        ),
        (
            {"updates": "sums", "engine": "superlink"},
            "the engine superlink needs an owner's `updates: plain`, or noise",
        ),
        ({"privacy_epsilon": 1.0, "model": "mlp", "strategy": "fedavg"}, "refuses the model mlp"),
        ({"privacy_epsilon": -1.0}, "greater than 0"),
    ],
)
def test_nothing_is_silently_ignored(federation: Federation, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(FedstackError, match=message):
        federation.run(**settings)


def test_the_noise_is_set_for_the_whole_run(federation: Federation) -> None:
    report = federation.run(strategy="fedavg", rounds=2, iterations=3, privacy_epsilon=4.0)
    told = report["privacy"]["differential_privacy"]
    assert told["noise"] == pytest.approx(noise_for(4.0, 1e-5, 6))


def test_what_an_account_refused_is_kept_with_its_code(federation: Federation) -> None:
    own = {"privacy-updates": "noise", "privacy-epsilon-budget": 0.1, "name": "silo-0"}
    own |= {"privacy-ledger": f"file://{federation.folder}/l", "data": str(federation.folder / "silo-0.csv")}
    context = Context(1, flower.number_of("silo-0"), own, RecordDict(), {})  # type: ignore[arg-type]
    assert refused(context) is None
    ask({}, "train.private", PRIVATE, federation.folder, context)
    first = refused(context)
    assert first is not None
    assert first.code == ExitCode.PRIVACY_BUDGET
    reply = ask({}, "train.private", {**PRIVATE, "iterations": 1}, federation.folder, context)
    assert str(reply.error.reason) == first.what
