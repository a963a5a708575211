from __future__ import annotations

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from rehearsal.in_process import providers
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.moments import Moments, Scaler
from runtime.tabular.data.schema import CMS
from runtime.tabular.models import Arrays, Fit, as_pipeline, fit_alone, load, standardise

WIDTH = len(CMS.features)
LOGISTIC = load("logistic")


def initial() -> Arrays:
    return LOGISTIC.initial(WIDTH, seed=0)


def pipeline(arrays: Arrays, scaler: Scaler) -> Pipeline:
    return as_pipeline(LOGISTIC, arrays, scaler, CMS)


def fit(start: Arrays, how: Fit) -> Arrays:
    rows = providers()
    return LOGISTIC.fit(start, standardise(rows, Moments.of(rows.x).scaler()), rows.y, how)


def reference(rows: Dataset, how: LogisticRegression) -> np.ndarray:
    """Return the probabilities that plain scikit-learn gives."""
    model = make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), how)
    return np.asarray(model.fit(rows.x, rows.y).predict_proba(rows.x))


def test_the_initial_model_knows_nothing() -> None:
    assert {name: array.shape for name, array in initial().items()} == {"coef": (1, WIDTH), "intercept": (1,)}
    scaler = Moments.of(providers().x).scaler()
    np.testing.assert_array_equal(pipeline(initial(), scaler).predict_proba(providers().x[:9]), 0.5)


def test_a_pipeline_predicts_what_its_arrays_say() -> None:
    rows, rng = providers().x[:50], np.random.default_rng(0)
    scaler = Moments.of(providers().x).scaler()
    arrays = {"coef": rng.normal(size=(1, WIDTH)), "intercept": np.array([0.3])}
    z = (np.log1p(rows) - scaler.mean) / scaler.scale @ arrays["coef"][0] + 0.3
    probability = pipeline(arrays, scaler).predict_proba(rows)
    np.testing.assert_allclose(probability[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_array_equal(pipeline(arrays, scaler).predict(rows), probability[:, 1] > 0.5)


def test_a_pipeline_keeps_its_own_copies() -> None:
    arrays, scaler = initial(), Moments.of(providers().x).scaler()
    made = pipeline(arrays, scaler)
    arrays["coef"][:], scaler.mean[:] = 99.0, 99.0
    np.testing.assert_array_equal(made.predict_proba(providers().x[:3]), 0.5)


def test_fitting_alone_is_what_scikit_learn_does() -> None:
    plain = LogisticRegression(solver="newton-cholesky", tol=1e-10)
    alone = fit_alone(LOGISTIC, providers(), Fit()).predict_proba(providers().x)
    np.testing.assert_allclose(alone, reference(providers(), plain), atol=1e-9)


def test_the_options_of_a_fit_are_scikit_learns() -> None:
    how = Fit(c=0.01, class_weight="balanced")
    plain = LogisticRegression(C=0.01, class_weight="balanced", solver="newton-cholesky", tol=1e-10)
    alone = fit_alone(LOGISTIC, providers(), how).predict_proba(providers().x)
    np.testing.assert_allclose(alone, reference(providers(), plain), atol=1e-9)


def test_a_silos_own_fit_converges_to_scikit_learns() -> None:
    ours = fit(initial(), Fit(iterations=5_000))
    plain = fit_alone(LOGISTIC, providers(), Fit())[-1]
    np.testing.assert_allclose(ours["coef"], plain.coef_, atol=0.02)


def test_a_round_starts_from_the_global_model_and_leaves_it_alone() -> None:
    start = initial()
    once = fit(start, Fit(iterations=5))
    np.testing.assert_array_equal(start["coef"], 0.0)
    twice = fit(once, Fit(iterations=5))
    converged = fit(start, Fit(iterations=1_000))
    distance = [float(np.abs(one["coef"] - converged["coef"]).max()) for one in (start, once, twice)]
    assert distance == sorted(distance, reverse=True)


def test_the_same_fit_gives_the_same_bits() -> None:
    one, other = (fit(initial(), Fit()) for _ in range(2))
    assert {name: array.tobytes() for name, array in one.items()} == {
        name: array.tobytes() for name, array in other.items()
    }


def test_few_iterations_are_no_reason_to_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        update = fit(initial(), Fit(iterations=1))
    assert update["coef"].dtype == np.dtype(np.float64)
