"""Runs with secure aggregation: the sum is right, drop-outs are got around, forged shares end it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from federation import Federation
from flwr.app import ConfigRecord, Message

from runtime.client.secure import Session
from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.server.privacy import SUPPORT
from runtime.task.silos import Split


def coefficients(federation: Federation, out: str) -> np.ndarray:
    last = joblib.load(federation.folder / out / "model.joblib")[-1]
    return np.append(last.coef_[0], last.intercept_)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation.cut(tmp_path, clients=4, how=Split.SIZE)


@pytest.mark.parametrize("strategy", [name for name, support in SUPPORT.items() if support.secure is None])
def test_the_model_is_that_of_the_plain_run(federation: Federation, strategy: str) -> None:
    plain = federation.run("plain", strategy=strategy, rounds=6, validation=0.0)
    secure = federation.run("secure", strategy=strategy, rounds=6, secure_aggregation=True)
    assert secure["verdict"] == "COMPLETE"
    assert secure["privacy"] == {"secure_aggregation": True, "differential_privacy": None}
    np.testing.assert_allclose(
        coefficients(federation, "secure"), coefficients(federation, "plain"), atol=1e-6
    )
    for one, other in zip(plain["rounds"], secure["rounds"], strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], abs=1e-6)


def test_another_models_sums_are_right_as_well(federation: Federation) -> None:
    runs = [
        federation.run(
            f"mlp-{secure}",
            model="mlp",
            strategy="fedavg",
            rounds=2,
            validation=0.0,
            secure_aggregation=secure,
        )
        for secure in (False, True)
    ]
    for one, other in zip(*(run["rounds"] for run in runs), strict=True):
        assert other["test"]["log_loss"] == pytest.approx(one["test"]["log_loss"], abs=1e-6)


def test_no_client_tells_its_rows_or_scores(federation: Federation) -> None:
    report = federation.run(strategy="fedavg", rounds=2, secure_aggregation=True)
    for part in report["rounds"][-1]["clients"].values():
        assert (part["samples"], part["train_loss"], part["validation"]) == (0, None, None)
    assert [client["samples"] for client in report["clients"]] == [0, 0, 0, 0]


def test_a_resumed_run_ends_at_the_same_model(federation: Federation) -> None:
    options: dict[str, Any] = {"strategy": "fednewton", "secure_aggregation": True}
    federation.run("whole", rounds=5, **options)
    federation.run("parts", rounds=2, **options)
    federation.run("parts", rounds=5, resume=True, **options)
    np.testing.assert_allclose(
        coefficients(federation, "whole"), coefficients(federation, "parts"), atol=1e-6
    )


def gone(names: list[str], since: str) -> Callable[[Message], bool]:
    """Drop all messages to some clients from one kind of message on, once training began."""
    nodes, state = {flower.number_of(name) for name in names}, {"training": 0, "gone": False}

    def drop(message: Message) -> bool:
        kind = message.metadata.message_type
        state["training"] += kind == "query.secure_advertise"
        if message.metadata.dst_node_id in nodes and state["training"] > 4 and kind == since:
            state["gone"] = True
        return bool(state["gone"]) and message.metadata.dst_node_id in nodes

    return drop


STEPS = [
    "query.secure_advertise",
    "query.secure_share",
    "train",
    "query.secure_confirm",
    "query.secure_unmask",
]


@pytest.mark.parametrize("since", STEPS)
def test_a_client_that_drops_out_at_any_step_is_got_around(federation: Federation, since: str) -> None:
    report = federation.run(
        drop=gone(["silo-1"], since), strategy="fedavg", rounds=1, min_clients=3, secure_aggregation=True
    )
    late = since in STEPS[3:]  # its update is in the sum already
    parts = report["rounds"][0]["clients"]
    assert parts["silo-1"]["status"] == ("ok" if late else "no reply in time")
    assert report["verdict"] == ("COMPLETE" if late else "PARTIAL")
    plain = federation.run(
        "plain",
        drop=lambda m: (
            not late
            and m.metadata.message_type == "train"
            and m.metadata.dst_node_id == flower.number_of("silo-1")
        ),
        strategy="fedavg",
        rounds=1,
        min_clients=3,
        validation=0.0,
    )
    assert plain["rounds"][0]["test"]["log_loss"] == pytest.approx(
        report["rounds"][0]["test"]["log_loss"], abs=1e-6
    )


@pytest.mark.parametrize("since", STEPS)
def test_with_too_few_left_it_ends_with_who_is_missing(federation: Federation, since: str) -> None:
    with pytest.raises(FedstackError) as caught:
        federation.run(
            drop=gone(["silo-1", "silo-3"], since),
            strategy="fedavg",
            rounds=1,
            min_clients=3,
            secure_aggregation=True,
        )
    assert caught.value.code == ExitCode.QUORUM
    assert "silo-1: no reply in time" in caught.value.what
    assert "silo-3: no reply in time" in caught.value.what


@pytest.mark.parametrize("victim", ["survivor", "dropped"])
def test_a_clients_forged_share_ends_the_sum_and_nothing_of_it_is_used(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    honest = Session.unmask

    def forge(self: Session, told: ConfigRecord) -> ConfigRecord:
        answer = honest(self, told)
        name = "seed-shares" if victim == "survivor" else "key-shares"
        shares: Any = answer[name]
        answer[name] = [share[:4] + bytes(len(share) - 4) for share in shares]
        return answer

    monkeypatch.setattr(Session, "unmask", forge)
    with pytest.raises(FedstackError, match="a client sent a forged one") as caught:
        federation.run(
            drop=gone(["silo-1"], "train") if victim == "dropped" else lambda _: False,
            strategy="fedavg",
            rounds=1,
            min_clients=3,
            secure_aggregation=True,
        )
    assert caught.value.code == ExitCode.SECURE_AGGREGATION


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("advertise", {}),
        ("advertise", {"cipher-key": b"no point", "mask-key": b"no point"}),
        ("share", {"nodes": [1], "shares": [], "commitment": b""}),
        ("share", {"nodes": "all", "shares": 5, "commitment": 1.0}),
        ("confirm", {"nodes": [b"x"], "tags": [1]}),
    ],
)
def test_an_odd_answer_costs_only_the_client_that_gives_it(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, step: str, answer: dict[str, Any]
) -> None:
    honest, odd = getattr(Session, step), flower.number_of("silo-2")

    def answered(self: Session, *told: ConfigRecord) -> ConfigRecord:
        return ConfigRecord(answer) if self.own == odd else honest(self, *told)

    monkeypatch.setattr(Session, step, answered)
    report = federation.run(strategy="fedavg", rounds=1, min_clients=3, secure_aggregation=True)
    assert report["verdict"] in ("PARTIAL", "COMPLETE")
    assert report["final"]["roc_auc"] > 0.8
