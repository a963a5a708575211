"""FedNewton ends where pooling would, whatever the split."""

from __future__ import annotations

import itertools
from pathlib import Path

import joblib
import numpy as np
import pytest

from rehearsal.in_process import Federation, providers
from runtime.contract import FedstackError
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.moments import Moments
from runtime.tabular.data.schema import Schema
from runtime.tabular.data.silos import Split, hold_out
from runtime.tabular.logistic_loss import LogisticLoss
from runtime.tabular.models import Fit, fit_alone, load, standardise
from runtime.tabular.strategies.fednewton import FedNewton


def coefficients(pipeline: object) -> np.ndarray:
    last = pipeline[-1]  # type: ignore[index]
    return np.append(last.coef_[0], last.intercept_)


@pytest.mark.parametrize("how", Split)
@pytest.mark.parametrize("clients", [3, 10])
def test_every_coefficient_is_the_pooled_one_in_at_most_eight_rounds(
    tmp_path: Path, how: Split, clients: int
) -> None:
    federation = Federation.cut(tmp_path, clients=clients, how=how)
    report = federation.run(strategy="fednewton", rounds=8)
    assert report["verdict"] == "COMPLETE"
    assert report["stopped"] == "converged"
    federated = joblib.load(tmp_path / "out" / "model.joblib")
    np.testing.assert_allclose(coefficients(federated), coefficients(federation.pooled()), atol=1e-4)


@pytest.mark.parametrize("c", [0.01, 100.0])
def test_for_any_penalty(tmp_path: Path, c: float) -> None:
    federation = Federation.cut(tmp_path)
    federation.run(strategy="fednewton", c=c, rounds=15)
    federated = joblib.load(tmp_path / "out" / "model.joblib")
    pooled = federation.pooled(Fit(c=c))
    np.testing.assert_allclose(coefficients(federated), coefficients(pooled), atol=1e-4)


def test_a_silo_with_one_label_and_a_silo_of_ten_rows_take_part(tmp_path: Path) -> None:
    rest, _test = hold_out(providers(), 0.2, seed=0)
    positive = np.flatnonzero(rest.y == 1)
    scaler = Moments.of(rest.x).scaler()
    parts = [
        rest.take(np.flatnonzero(rest.y == 0)[:500]),
        rest.take(np.concatenate([np.flatnonzero(rest.y == 0)[500:505], positive[:5]])),
        rest.take(np.concatenate([np.flatnonzero(rest.y == 0)[505:], positive[5:]])),
    ]
    strategy = FedNewton(3, 1.0, 1e-4)
    theta = np.zeros(50)
    for _ in range(8):
        found = [LogisticLoss(standardise(part, scaler), part.y).curvature(theta) for part in parts]
        strategy._sent = theta
        sums = {
            "loss": np.array([sum(one.loss for one in found)]),
            "gradient": np.sum([one.gradient for one in found], axis=0),
            "hessian": np.sum([one.hessian for one in found], axis=0),
        }
        theta = strategy._next(sums, frozenset({1, 2, 3}))
    together = Dataset(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]))
    assert strategy.converged
    np.testing.assert_allclose(theta, coefficients(fit_alone(load("logistic"), together, Fit())), atol=1e-4)


def test_a_step_that_raises_the_loss_is_halved_until_it_does_not() -> None:
    # One row far out: a full Newton step from here overshoots (the loss is flat there).
    rows = Dataset(
        np.expm1(np.array([[0.0], [1.0], [2.0], [3.0]])), np.array([0, 1, 0, 1]), Schema("tiny", "y", ("a",))
    )
    silo = LogisticLoss(standardise(rows, Moments.of(rows.x, rows.schema).scaler()), rows.y)
    strategy = FedNewton(1, 1e6, 1e-6)
    theta, accepted = np.array([40.0, -10.0]), []
    for _ in range(200):
        found = silo.curvature(theta)
        strategy._sent = theta
        sums = {"loss": np.array([found.loss]), "gradient": found.gradient, "hessian": found.hessian}
        theta = strategy._next(sums, frozenset({1}))
        assert strategy._base is not None
        accepted.append(strategy._base.loss)
        if strategy.converged:
            break
    assert strategy.converged
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(accepted))
    assert any(later == earlier for earlier, later in itertools.pairwise(accepted))  # it was halved


def test_a_run_that_is_resumed_ends_at_the_same_model(tmp_path: Path) -> None:
    federation = Federation.cut(tmp_path)
    federation.run("whole", strategy="fednewton", rounds=8)
    federation.run("parts", strategy="fednewton", rounds=3)
    federation.run("parts", strategy="fednewton", rounds=8, resume=True)
    whole, parts = (joblib.load(tmp_path / out / "model.joblib") for out in ("whole", "parts"))
    assert np.array_equal(coefficients(whole), coefficients(parts))


def test_class_weights_of_each_silo_are_refused(tmp_path: Path) -> None:
    federation = Federation.cut(tmp_path)
    with pytest.raises(FedstackError, match="fednewton sums the clients' losses"):
        federation.run(strategy="fednewton", class_weight="balanced")
