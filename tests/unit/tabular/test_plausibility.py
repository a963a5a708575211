"""What no rows can give is refused by name; what rows do give never is."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from rehearsal.in_process import Federation
from runtime.contract import ExitCode, FedstackError
from runtime.privacy import fixed_point
from runtime.tabular.data.silos import Split
from runtime.tabular.logistic_loss import LogisticLoss
from runtime.tabular.strategies.plausibility import PlausibleCurvature
from runtime.updates import UpdateRefusedError

ROWS, FEATURES = 200, 4
Answer = dict[str, Any]


def silo(seed: int = 0, rows: int = ROWS) -> LogisticLoss:
    rng = np.random.default_rng(seed)
    return LogisticLoss(rng.standard_normal((rows, FEATURES)), (rng.random(rows) < 0.3).astype(np.int64))


def answer(loss: LogisticLoss, theta: np.ndarray, rows: int = ROWS) -> Answer:
    own = loss.curvature(theta)
    return {"theta": theta, "loss": own.loss, "gradient": own.gradient, "hessian": own.hessian, "rows": rows}


def path(loss: LogisticLoss, rounds: int = 6) -> list[np.ndarray]:
    """Newton's models from zero on."""
    theta = np.zeros(FEATURES + 1)
    models = [theta]
    for _ in range(rounds):
        own = loss.curvature(theta)
        assert own.hessian is not None
        theta = theta - np.linalg.lstsq(own.hessian + np.eye(len(theta)), own.gradient + theta, rcond=None)[0]
        models.append(theta)
    return models


ATTACKS: dict[str, tuple[Callable[[Answer], Answer], str]] = {
    "times -1e6": (
        lambda a: a | {k: -1e6 * a[k] for k in ("loss", "gradient", "hessian")},
        "below zero",
    ),
    "hessian times -1": (lambda a: a | {"hessian": -a["hessian"]}, "not positive semidefinite"),
    "hessian times 3": (lambda a: a | {"hessian": 3 * a["hessian"]}, "weigh"),
    "all times 3": (
        lambda a: a | {k: 3 * a[k] for k in ("loss", "gradient", "hessian")},
        "weigh",
    ),
    "a triangle": (lambda a: a | {"hessian": np.triu(a["hessian"])}, "not symmetric"),
    "the slope beyond the rows": (lambda a: a | {"gradient": a["gradient"] + 2 * ROWS}, "slope"),
    "not finite": (lambda a: a | {"gradient": a["gradient"] * math.nan}, "not finite"),
    "other rows": (lambda a: a | {"rows": ROWS + 1}, "rows"),
    "the loss of nothing": (lambda a: a | {"loss": 0.0}, "lose|tangent"),
    "a loss that rose": (lambda a: a | {"loss": 9 * a["loss"]}, "lose|allows"),
}


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_update_that_no_rows_can_give_is_refused_by_name(attack: str, at: int) -> None:
    change, message = ATTACKS[attack]
    if (attack, at) in {("other rows", 0)}:
        message = "weigh"
    plausible, loss = PlausibleCurvature(), silo()
    for number, theta in enumerate(path(loss)[: at + 1]):
        if number == at:
            with pytest.raises(UpdateRefusedError, match=message):
                plausible.check(**change(answer(loss, theta)))
        else:
            plausible.check(**answer(loss, theta))


def test_a_larger_hessian_than_at_the_start_is_refused_though_its_last_cell_fits() -> None:
    plausible, loss = PlausibleCurvature(), silo()
    start, after = path(loss)[:2]
    plausible.check(**answer(loss, start))
    wrong = answer(loss, after)
    wrong["hessian"] = wrong["hessian"] + np.diag([9.0 * ROWS, 0, 0, 0, 0])
    with pytest.raises(UpdateRefusedError, match="larger than at the zero model"):
        plausible.check(**wrong)


def test_an_answer_about_an_old_model_is_refused() -> None:
    plausible, loss = PlausibleCurvature(), silo()
    models = path(loss)
    plausible.check(**answer(loss, models[0]))
    stale = answer(loss, models[0]) | {"theta": models[3]}
    with pytest.raises(UpdateRefusedError, match="allows"):
        plausible.check(**stale)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 400),
    outlier=st.sampled_from([0.0, 30.0, 1e3]),
    label=st.sampled_from([None, 0, 1]),
    masked=st.booleans(),
)
def test_honest_rows_are_never_refused(
    seed: int, rows: int, outlier: float, label: int | None, masked: bool
) -> None:
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((rows, FEATURES))
    z[0] += outlier
    z[:, 1] = 1.0  # a constant column
    y = np.full(rows, label) if label is not None else (z[:, 0] > 0).astype(np.int64)  # separable
    loss, plausible = LogisticLoss(z, y.astype(np.int64)), PlausibleCurvature()
    for theta in path(loss, 8):
        found = answer(loss, theta, rows)
        if masked:
            found |= {key: through_a_sum(found[key]) for key in ("loss", "gradient", "hessian")}
        plausible.check(**found)


def through_a_sum(value: Any) -> Any:
    flat = np.atleast_1d(np.asarray(value, dtype=np.float64)).ravel()
    back = fixed_point.decode(fixed_point.encode(flat, fixed_point.WORDS, 3))
    return float(back[0]) if np.ndim(value) == 0 else back.reshape(np.shape(value))


def liar(factor: float) -> Callable[[Message], Message]:
    def change(reply: Message) -> Message:
        record = reply.content.array_records["arrays"]
        wrong = {name: Array(factor * array.numpy()) for name, array in record.items()}
        reply.content["arrays"] = ArrayRecord(wrong)
        return reply

    return change


def test_in_a_plain_run_the_client_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    federation = Federation.cut(tmp_path, clients=4, how=Split.IID)
    report = federation.run(
        poison={"silo-1": liar(-1e6)}, strategy="fednewton", updates="plain", min_clients=3
    )
    assert report["verdict"] == "PARTIAL"
    assert "below zero" in report["rounds"][0]["clients"]["silo-1"]["status"]
    assert report["final"]["roc_auc"] > 0.8


@pytest.mark.parametrize("name", ["gradient", "hessian"])
def test_a_number_that_no_sum_can_hold_breaks_no_run(tmp_path: Path, name: str) -> None:
    def lie(reply: Message) -> Message:
        arrays = {key: one.numpy().copy() for key, one in reply.content.array_records["arrays"].items()}
        if name in arrays:
            arrays[name].flat[0] = 1.7e308
        reply.content["arrays"] = ArrayRecord({key: Array(one) for key, one in arrays.items()})
        return reply

    federation = Federation.cut(tmp_path, clients=4, how=Split.IID)
    report = federation.run(
        poison={"silo-1": lie, "silo-2": lie}, strategy="fednewton", updates="plain", min_clients=2, c=10.0
    )
    assert (report["verdict"], report["stopped"]) == ("PARTIAL", "converged")
    for liar in ("silo-1", "silo-2"):
        assert report["rounds"][0]["clients"][liar]["status"].endswith("which cannot be summed")


def test_samples_that_are_not_those_of_the_preparation_are_refused(tmp_path: Path) -> None:
    federation = Federation.cut(tmp_path, clients=4, how=Split.IID)

    def claim(reply: Message) -> Message:
        reply.content.metric_records["metrics"]["num-examples"] = 10**8
        return reply

    report = federation.run(
        poison={"silo-1": claim}, strategy="fedavg", updates="plain", min_clients=3, rounds=2
    )
    assert "100000000 rows" in report["rounds"][0]["clients"]["silo-1"]["status"]
    assert report["verdict"] == "PARTIAL"


@pytest.mark.parametrize("factor", [-1e6, -1.0, 3.0])
def test_a_sum_that_no_rows_can_give_ends_the_run(
    tmp_path: Path, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation.cut(tmp_path, clients=3, how=Split.IID)
    honest = LogisticLoss.curvature
    count = {"calls": 0}

    def lying(self: LogisticLoss, theta: np.ndarray, **more: Any) -> Any:
        found = honest(self, theta, **more)
        count["calls"] += 1
        if count["calls"] % 3:
            return found
        assert found.hessian is not None
        return type(found)(factor * found.loss, factor * found.gradient, factor * found.hessian)

    monkeypatch.setattr(LogisticLoss, "curvature", lying)
    with pytest.raises(FedstackError, match="Round 1's sum is impossible") as caught:
        federation.run(strategy="fednewton")
    assert caught.value.code == ExitCode.SECURE_AGGREGATION
