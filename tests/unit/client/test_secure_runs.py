"""Runs whose updates are summed: the sum is right, drop-outs are got around, and whoever is lost is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from flwr.app import ConfigRecord, Message

from rehearsal.in_process import Federation
from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.tabular.client.request import Request
from runtime.tabular.data.preparation import Prepared
from runtime.tabular.data.silos import Split
from runtime.tabular.models import fit_alone, load
from runtime.tabular.models.base import Fit
from runtime.tabular.strategies.support import SUPPORT


def coefficients(federation: Federation, out: str) -> np.ndarray:
    last = joblib.load(federation.folder / out / "model.joblib")[-1]
    return np.append(last.coef_[0], last.intercept_)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation.cut(tmp_path, clients=4, how=Split.SIZE)


OF_COEFFICIENTS = [n for n, support in SUPPORT.items() if support.secure is None and n != "histogram"]
"""Trees have none; test_histogram_trees.py compares theirs."""


@pytest.mark.parametrize("strategy", OF_COEFFICIENTS)
def test_the_model_is_that_of_the_plain_run(federation: Federation, strategy: str) -> None:
    plain = federation.run("plain", strategy=strategy, rounds=8, updates="plain")
    secure = federation.run("secure", strategy=strategy, rounds=8, updates="sums")
    assert secure["verdict"] == "COMPLETE"
    assert secure["privacy"] == {"updates": "sums", "visible": [], "differential_privacy": None}
    assert plain["privacy"]["visible"] == list(federation.silos)
    np.testing.assert_allclose(
        coefficients(federation, "secure"), coefficients(federation, "plain"), atol=1e-9
    )
    for one, other in zip(plain["rounds"], secure["rounds"], strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], abs=1e-9)


def test_another_models_sums_are_right_as_well(federation: Federation) -> None:
    runs = [
        federation.run(f"mlp-{updates}", model="mlp", strategy="fedavg", rounds=2, updates=updates)
        for updates in ("plain", "sums")
    ]
    for one, other in zip(*(run["rounds"] for run in runs), strict=True):
        assert other["test"]["log_loss"] == pytest.approx(one["test"]["log_loss"], abs=1e-6)


@pytest.mark.parametrize("how", Split)
@pytest.mark.parametrize("clients", [3, 10])
def test_fednewton_is_pooling_under_the_default_policy(tmp_path: Path, how: Split, clients: int) -> None:
    federation = Federation.cut(tmp_path, clients=clients, how=how)
    report = federation.run()
    assert (report["verdict"], report["strategy"], report["privacy"]["updates"]) == (
        "COMPLETE",
        "fednewton",
        "sums",
    )
    pooled = federation.pooled()[-1]
    np.testing.assert_allclose(
        coefficients(federation, "out"), np.append(pooled.coef_[0], pooled.intercept_), atol=1e-6
    )


def test_by_default_a_sum_has_all_whom_its_members_name(federation: Federation) -> None:
    """A sum without one of them would tell, by difference, what that one alone answered."""
    with pytest.raises(FedstackError) as caught:
        federation.run(drop=gone(["silo-1"], "train"), strategy="fedavg", rounds=1, min_clients=3)
    assert caught.value.code == ExitCode.QUORUM
    assert "3 members are left to be summed, 4 are needed by silo-0, silo-2, silo-3" in caught.value.what
    assert "silo-1: no reply in time" in caught.value.what


def test_no_client_tells_its_rows_or_scores(federation: Federation) -> None:
    report = federation.run(strategy="fedavg", rounds=2)
    for part in report["rounds"][-1]["clients"].values():
        assert (part["samples"], part["train_loss"], part["validation"]) == (0, None, None)
    assert [client["samples"] for client in report["clients"]] == [0, 0, 0, 0]
    assert [client["value"] for client in report["clients"]] == [None] * 4


def test_what_clients_gain_is_known_as_a_sum_where_three_can_tell(tmp_path: Path) -> None:
    federation = Federation.cut(tmp_path, clients=3, how=Split.IID)
    plain = federation.run("plain", updates="plain", validation=0.3)
    told = federation.run("sums", validation=0.3)["value_summed"]
    single = [client["value"] for client in plain["clients"]]
    assert told["clients"] == 3
    for model in ("local_only", "federated"):
        assert told[model] == pytest.approx(np.mean([one[model]["roc_auc"] for one in single]))
    assert told["score"] == "roc_auc"
    assert told["above"] == sum(one["gain"]["low"] > 0 for one in single)
    assert told["below"] == sum(one["gain"]["high"] < 0 for one in single)


def test_where_fewer_than_three_can_tell_nobody_does(federation: Federation) -> None:
    report = federation.run(strategy="fedavg", rounds=2)
    assert report["value_summed"] is None
    assert report["value_missing"].startswith("told by nobody: only sums leave a client")
    assert report["verdict"] == "COMPLETE"


def test_a_resumed_run_ends_at_the_same_model(federation: Federation) -> None:
    options: dict[str, Any] = {"strategy": "fednewton"}
    federation.run("whole", rounds=5, **options)
    federation.run("parts", rounds=2, **options)
    federation.run("parts", rounds=5, resume=True, **options)
    np.testing.assert_allclose(
        coefficients(federation, "whole"), coefficients(federation, "parts"), atol=1e-9
    )


@pytest.fixture
def of_three(federation: Federation) -> Federation:
    """Owners who let sums go on as long as three are left."""
    return replace(federation, min_cohort=3)


def gone(names: list[str], since: str) -> Callable[[Message], bool]:
    """Drop all messages to some clients from one kind of message on, once training began."""
    nodes, state = {flower.number_of(name) for name in names}, {"training": False, "gone": False}

    def drop(message: Message) -> bool:
        kind = message.metadata.message_type
        state["training"] = state["training"] or kind == "train" or since in BEFORE
        ours = message.metadata.dst_node_id in nodes
        state["gone"] = state["gone"] or (ours and state["training"] and kind == since)
        return state["gone"] and ours

    return drop


BEFORE = ["query.secure_keys", "query.secure_members", "query.feature_sums", "query.feature_squares"]
STEPS = [*BEFORE, "train", "query.secure_unmask"]


@pytest.mark.parametrize("since", STEPS)
def test_a_client_that_drops_out_at_any_step_is_got_around(of_three: Federation, since: str) -> None:
    report = of_three.run(drop=gone(["silo-1"], since), strategy="fedavg", rounds=1, min_clients=3)
    assert report["verdict"] == "PARTIAL"
    assert report["rounds"][0]["clients"]["silo-1"]["status"] != "ok"
    plain = of_three.run(
        "plain",
        drop=lambda m: (
            m.metadata.dst_node_id == flower.number_of("silo-1")
            and (since not in ("train", "query.secure_unmask") or m.metadata.message_type == "train")
        ),
        strategy="fedavg",
        rounds=1,
        min_clients=3,
        updates="plain",
    )
    within = 1e-6 if since != "query.feature_squares" else 1e-2  # its part in the means had been summed
    assert plain["rounds"][0]["test"]["log_loss"] == pytest.approx(
        report["rounds"][0]["test"]["log_loss"], abs=within
    )


def test_who_is_lost_after_the_vote_outvotes_nobody_who_is_left(tmp_path: Path) -> None:
    of_three = replace(Federation.cut(tmp_path, clients=4, how=Split.IID), min_cohort=3)
    cells = len(of_three.silos["silo-0"]) * (of_three.test.schema.width + 1)
    three_hessians = {"privacy-max-numbers-per-cell": 3 * 1327 / 0.7 / (0.85 * cells)}
    report = of_three.run(
        nodes={"silo-0": three_hessians},
        drop=gone(["silo-1"], "query.feature_squares"),
        strategy="fednewton",
        min_clients=3,
    )
    assert (report["verdict"], report["stopped"]) == ("PARTIAL", "converged")
    assert report["rounds"][-1]["clients"]["silo-0"]["status"] == "ok"


@pytest.mark.parametrize("lie", [-1.0, 5.0, 1e9])
def test_votes_that_no_members_can_have_given_end_the_run(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, lie: float
) -> None:
    honest = Request.votes

    def votes(self: Request, prepared: Prepared) -> np.ndarray:
        return np.full(12, lie) if self.name == "silo-2" else honest(self, prepared)

    monkeypatch.setattr(Request, "votes", votes)
    nodes = {name: {"privacy-max-numbers-per-cell": 1e-6 if lie < 0 else 1e3} for name in federation.silos}
    with pytest.raises(FedstackError, match="The sum of 4 members' votes is impossible"):
        federation.run(strategy="fednewton", nodes=nodes)


@pytest.mark.parametrize("since", STEPS)
def test_with_too_few_left_it_ends_with_who_is_missing(of_three: Federation, since: str) -> None:
    with pytest.raises(FedstackError) as caught:
        of_three.run(drop=gone(["silo-1", "silo-3"], since), strategy="fedavg", rounds=1, min_clients=3)
    assert caught.value.code == ExitCode.QUORUM
    assert "silo-1: no reply in time" in caught.value.what
    assert "silo-3: no reply in time" in caught.value.what


def test_who_left_the_sums_does_not_come_back_in_a_later_round(of_three: Federation) -> None:
    node, once = flower.number_of("silo-1"), {"dropped": False}

    def drop(message: Message) -> bool:
        if message.metadata.dst_node_id == node and message.metadata.message_type == "train":
            once["dropped"], before = True, once["dropped"]
            return not before
        return False

    report = of_three.run(drop=drop, strategy="fedavg", rounds=3, min_clients=3)
    assert report["verdict"] == "PARTIAL"
    assert [entry["clients"]["silo-1"]["status"] == "ok" for entry in report["rounds"]] == [False] * 3


def test_a_seed_that_is_not_the_one_committed_to_is_named(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.client.secure_aggregation import Membership

    honest = Membership.unmask

    def forged(self: Membership, sum_id: str) -> bytes:
        seed = honest(self, sum_id)
        return bytes(32) if self.name == "silo-2" else seed

    monkeypatch.setattr(Membership, "unmask", forged)
    with pytest.raises(
        FedstackError, match="silo-2: the seed of its mask is not the one that it committed to"
    ):
        federation.run(strategy="fedavg", rounds=1)


@pytest.mark.parametrize("answer", [{}, {"seed": 7}, {"seed": "x"}, {"other": b"x"}])
def test_an_answer_of_another_form_costs_only_who_sent_it(
    of_three: Federation, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    from runtime.client import secure_aggregation

    honest = secure_aggregation.step

    def odd(message: Message, context: Any) -> ConfigRecord:
        said = honest(message, context)
        broken = context.node_config["name"] == "silo-2" and message.metadata.message_type.endswith("unmask")
        return ConfigRecord(answer) if broken else said

    monkeypatch.setattr(secure_aggregation, "step", odd)
    report = of_three.run(strategy="fedavg", rounds=1, min_clients=3)
    assert report["verdict"] == "PARTIAL"


def test_a_member_that_another_does_not_name_ends_the_run_with_that(federation: Federation) -> None:
    own = federation.policy("silo-0", "sums")
    fewer = " ".join(pair for pair in own["privacy-cohort"].split() if not pair.startswith("silo-3="))
    with pytest.raises(FedstackError, match="'silo-3' is not among those whom this client's own stack names"):
        federation.run(nodes={"silo-0": {"privacy-cohort": fewer}}, rounds=1)


def test_noise_within_sums_is_paid_for_once_though_a_sum_is_asked_for_again(of_three: Federation) -> None:
    from runtime.privacy.budget import Budget

    report = of_three.run(
        drop=gone(["silo-1"], "train.private_curvature"),
        privacy_epsilon=8.0,
        updates="sums",
        rounds=1,
        min_clients=3,
    )
    assert report["verdict"] in ("PARTIAL", "COMPLETE")
    for name in ("silo-0", "silo-2", "silo-3"):
        assert len(Budget(f"file://{of_three.folder / 'ledgers' / name}", None, 1e-5).entries()) == 1


@pytest.mark.parametrize("exponent", [-12, -6, 0, 6, 12])
def test_sums_are_exact_at_every_scale_of_a_column(tmp_path: Path, exponent: int) -> None:
    """A column around 2e-6 was lost once, and `year` or an income refused."""
    from runtime.tabular.data.dataset import Dataset
    from runtime.tabular.data.schema import Schema
    from runtime.tabular.data.silos import split

    rng = np.random.default_rng(exponent + 50)
    names = ("tiny", "year", "income", "plain")
    schema = Schema(name="scales", label="y", features=names, as_is=names)
    z = rng.standard_normal((900, 4))
    x = z * [10.0**exponent, 8.0, 3e4, 1.0] + [0.0, 2020.0, 5e4, 0.0]
    y = (rng.random(900) < 1 / (1 + np.exp(-2 * z[:, 0] - z[:, 1]))).astype(np.int64)
    whole = Dataset(x, y, schema)
    schema.save(tmp_path)
    parts = split(whole.take(np.arange(700)), 3, Split.IID, seed=0)
    federation = Federation.of(
        tmp_path, {f"silo-{n}": part for n, part in enumerate(parts)}, whole.take(np.arange(700, 900))
    )
    report = federation.run(validation=0.0, rounds=12)
    assert report["verdict"] == "COMPLETE"
    fitted = joblib.load(tmp_path / "out" / "model.joblib")
    pooled = fit_alone(load("logistic"), whole.take(np.arange(700)), Fit())
    np.testing.assert_allclose(fitted[-1].coef_, pooled[-1].coef_, atol=1e-6)
    np.testing.assert_allclose(fitted[1].mean_, pooled[1].mean_, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(fitted[1].scale_, pooled[1].scale_, rtol=1e-9)
