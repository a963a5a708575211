"""FedNewton ends where pooling would, whatever the split."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from rehearsal.in_process import Federation, providers
from runtime.client.privacy_policy import LARGEST_LOSS
from runtime.privacy import summed_vector
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.moments import Moments
from runtime.tabular.data.schema import Schema
from runtime.tabular.data.silos import Split, hold_out
from runtime.tabular.logistic_loss import LogisticLoss
from runtime.tabular.models import Fit, fit_alone, load, standardise
from runtime.tabular.models.linear_model import Ask, LinearModel, Question, from_vector, to_vector
from runtime.tabular.models.logistic import MODEL
from runtime.tabular.strategies import fednewton
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
    np.testing.assert_allclose(coefficients(federated), coefficients(federation.pooled()), atol=1e-6)


@pytest.mark.parametrize("c", [0.01, 100.0])
def test_for_any_penalty(tmp_path: Path, c: float) -> None:
    federation = Federation.cut(tmp_path)
    federation.run(strategy="fednewton", c=c, rounds=15)
    federated = joblib.load(tmp_path / "out" / "model.joblib")
    pooled = federation.pooled(Fit(c=c))
    np.testing.assert_allclose(coefficients(federated), coefficients(pooled), atol=1e-6)


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
        told = [one.arrays() for one in found]
        sums = {name: np.sum([one[name] for one in told], axis=0) for name in told[0]}
        theta = strategy._next(sums, frozenset({1, 2, 3}))
    together = Dataset(np.concatenate([p.x for p in parts]), np.concatenate([p.y for p in parts]))
    assert strategy.converged
    np.testing.assert_allclose(theta, coefficients(fit_alone(load("logistic"), together, Fit())), atol=1e-6)


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
        theta = strategy._next(found.arrays(), frozenset({1}))
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


def few_rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(200, 6))
    return z, (z @ rng.normal(size=6) + rng.normal(size=200) > 0).astype(np.int64)


def played(
    strategy: FedNewton, z: np.ndarray, y: np.ndarray, rounds: int = 200
) -> tuple[np.ndarray, list[str]]:
    """Play rounds on rows in one place; return the coefficients and what was asked for."""
    arrays, asked = load("logistic").initial(z.shape[1], 0), []
    for _ in range(rounds):
        strategy._like, strategy._sent = arrays, to_vector(arrays)
        strategy._ask = strategy._question()
        asked.append(strategy._ask.value)
        sums, _, _ = MODEL.answer(arrays, z, y, Fit(), Question(strategy._ask))
        assert {name: a.shape for name, a in sums.items()} == {
            name: a.shape for name, a in MODEL.answer_like(arrays, strategy._ask).items()
        }
        arrays = from_vector(strategy._next(dict(sums), frozenset({1})), arrays)
        if strategy.converged:
            break
    return to_vector(arrays), asked


@pytest.mark.parametrize(
    ("largest", "hessians"), [(3, math.inf), (5_000, 0), (5_000, 1), (5_000, 5), (5_000, math.inf)]
)
def test_with_few_hessians_or_none_it_ends_at_the_same_model(
    monkeypatch: pytest.MonkeyPatch, largest: int, hessians: float
) -> None:
    monkeypatch.setattr(fednewton, "LARGEST_DENSE", largest)
    z, y = few_rows()
    strategy = FedNewton(1, 1.0, 1e-4)
    strategy.learn(MODEL, allowed=hessians)
    found, asked = played(strategy, z, y)
    pooled = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(z, y)
    assert strategy.converged
    np.testing.assert_allclose(found, np.append(pooled.coef_[0], pooled.intercept_), atol=1e-6)
    curvatures = asked.count("curvature")
    most = 0 if largest == 3 else 0 if hessians < 2 else 3 if hessians == 5 else len(asked)
    assert curvatures == most


@pytest.mark.parametrize("seed", range(3))
def test_a_step_of_counts_makes_no_mean_so_large_that_clients_refuse_the_model(seed: int) -> None:
    """Newton's whole step from the mean of all is too long where a column has a long tail."""
    rng = np.random.default_rng(seed)
    z = np.exp(0.8 * rng.normal(size=(600, 2)))
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    y = rng.poisson(np.exp(np.minimum(3 + z @ [0.6, 0.3], 9))).astype(np.float64)
    model = load("poisson")
    assert isinstance(model, LinearModel)
    arrays, losses = model.started(model.initial(2, 0), np.array([y.sum(), len(y)]), Fit()), list[float]()
    strategy = FedNewton(1, 1.0, 1e-4)
    strategy.learn(model)
    while not strategy.converged and len(losses) < 30:
        strategy._like, strategy._sent = arrays, to_vector(arrays)
        losses.append(model.losses(arrays, z, y, Fit())[1])
        sums, _, _ = model.answer(arrays, z, y, Fit(), Question(Ask.CURVATURE))
        arrays = from_vector(strategy._next(dict(sums), frozenset({1})), arrays)
    assert strategy.converged
    assert max(losses) < LARGEST_LOSS
    pooled = PoissonRegressor(alpha=1 / len(y), solver="newton-cholesky", tol=1e-12, max_iter=200).fit(z, y)
    np.testing.assert_allclose(to_vector(arrays), np.append(pooled.coef_, pooled.intercept_), atol=1e-6)


@pytest.mark.parametrize("hessians", [3, 6, 8])
def test_no_more_hessians_are_asked_for_than_may_leave_even_if_steps_are_halved(
    hessians: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fednewton, "LONGEST_STEP", 1e9)
    rng = np.random.default_rng(0)
    z = rng.standard_t(2, size=(300, 6))
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    y = rng.poisson(np.exp(np.clip(z @ rng.normal(size=6), -5, 5))).astype(np.float64)
    model = load("poisson")
    assert isinstance(model, LinearModel)
    arrays, asked = model.started(model.initial(6, 0), np.array([y.sum(), len(y)]), Fit()), list[Ask]()
    strategy = FedNewton(1, 1e3, 1e-4)
    strategy.learn(model, summed=True, allowed=hessians)
    accepted = set[object]()
    while not strategy.converged and len(asked) < 100:
        strategy._like, strategy._sent = arrays, to_vector(arrays)
        strategy._ask = strategy._question()
        asked.append(strategy._ask)
        sums, _, _ = model.answer(arrays, z, y, Fit(), Question(strategy._ask))
        arrays = from_vector(strategy._next(dict(sums), frozenset({1})), arrays)
        accepted.add(strategy._base)
    assert strategy.converged
    assert len(accepted) < len(asked)  # a step was halved
    assert asked.count(Ask.CURVATURE) <= hessians


@pytest.mark.parametrize("columns", [5_000, 1_000_000])
def test_a_vote_on_more_columns_than_a_hessian_is_asked_for_takes_no_memory(columns: int) -> None:
    tracemalloc.start()
    try:
        votes = MODEL.fitting(columns, math.inf)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert votes.tolist() == [0.0] * 12
    assert peak < 100 * columns


@pytest.mark.parametrize("model", ["logistic", "linear", "poisson", "softmax", "cox"])
def test_a_vote_counts_the_numbers_that_a_clients_policy_will_count(model: str) -> None:
    kind = load(model)
    assert isinstance(kind, LinearModel)
    like = kind.answer_like(kind.initial(9, 0), Ask.CURVATURE)
    told = len(summed_vector.pack("train.curvature", like, 1, 0.0))
    assert kind.fitting(9, 3 * told / 0.7).tolist() == [1.0] * 3 + [0.0] * 9
    assert kind.fitting(9, 3 * told / 0.7 - 1).tolist() == [1.0] * 2 + [0.0] * 10


def test_labels_that_can_be_told_apart_have_no_end_without_a_penalty() -> None:
    z, _ = few_rows()
    strategy = FedNewton(1, math.inf, 1e-4)
    played(strategy, z, (z[:, 0] > 0).astype(np.int64), rounds=20)
    assert not strategy.converged
