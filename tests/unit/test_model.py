from __future__ import annotations

import warnings

import numpy as np
import pytest
from cms_file import providers
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from runtime.task.data import Dataset
from runtime.task.model import Fit, fit, fit_alone, initial_arrays, pipeline
from runtime.task.moments import Moments
from runtime.task.schema import CMS

WIDTH = len(CMS.features)


def reference(rows: Dataset, how: LogisticRegression) -> np.ndarray:
    """Return the probabilities that plain scikit-learn gives."""
    model = make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), how)
    return np.asarray(model.fit(rows.x, rows.y).predict_proba(rows.x))


def test_the_initial_model_knows_nothing() -> None:
    arrays = initial_arrays(WIDTH)
    assert {name: array.shape for name, array in arrays.items()} == {"coef": (1, WIDTH), "intercept": (1,)}
    scaler = Moments.of(providers().x).scaler()
    np.testing.assert_array_equal(pipeline(arrays, scaler).predict_proba(providers().x[:9]), 0.5)


def test_a_pipeline_predicts_what_its_arrays_say() -> None:
    rows, rng = providers().x[:50], np.random.default_rng(0)
    scaler = Moments.of(providers().x).scaler()
    arrays = {"coef": rng.normal(size=(1, WIDTH)), "intercept": np.array([0.3])}
    z = (np.log1p(rows) - scaler.mean) / scaler.scale @ arrays["coef"][0] + 0.3
    probability = pipeline(arrays, scaler).predict_proba(rows)
    np.testing.assert_allclose(probability[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_array_equal(pipeline(arrays, scaler).predict(rows), probability[:, 1] > 0.5)


def test_a_pipeline_keeps_its_own_copies() -> None:
    arrays, scaler = initial_arrays(WIDTH), Moments.of(providers().x).scaler()
    made = pipeline(arrays, scaler)
    arrays["coef"][:], scaler.mean[:] = 99.0, 99.0
    np.testing.assert_array_equal(made.predict_proba(providers().x[:3]), 0.5)


def test_fitting_alone_is_what_scikit_learn_does() -> None:
    alone = fit_alone(providers(), Fit()).predict_proba(providers().x)
    np.testing.assert_allclose(alone, reference(providers(), LogisticRegression(max_iter=1000)), atol=1e-9)


def test_the_options_of_a_fit_are_scikit_learns() -> None:
    how = Fit(c=0.01, class_weight="balanced")
    plain = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
    alone = fit_alone(providers(), how).predict_proba(providers().x)
    np.testing.assert_allclose(alone, reference(providers(), plain), atol=1e-9)


def test_a_round_starts_from_the_global_model_and_leaves_it_alone() -> None:
    scaler = Moments.of(providers().x).scaler()
    start = initial_arrays(WIDTH)
    once = fit(start, scaler, providers(), Fit(iterations=5))
    np.testing.assert_array_equal(start["coef"], 0.0)
    twice = fit(once, scaler, providers(), Fit(iterations=5))
    converged = fit(start, scaler, providers(), Fit(iterations=1_000))
    distance = [float(np.abs(one["coef"] - converged["coef"]).max()) for one in (start, once, twice)]
    assert distance == sorted(distance, reverse=True)
    again = fit(converged, scaler, providers(), Fit(iterations=1))
    np.testing.assert_allclose(again["coef"], converged["coef"], atol=1e-3)


def test_the_same_fit_gives_the_same_bits() -> None:
    scaler = Moments.of(providers().x).scaler()
    one, other = (fit(initial_arrays(WIDTH), scaler, providers(), Fit()) for _ in range(2))
    assert {name: array.tobytes() for name, array in one.items()} == {
        name: array.tobytes() for name, array in other.items()
    }


def test_few_iterations_are_no_reason_to_warn() -> None:
    scaler = Moments.of(providers().x).scaler()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        update = fit(initial_arrays(WIDTH), scaler, providers(), Fit(iterations=1))
    assert update["coef"].dtype == np.dtype(np.float64)


@pytest.mark.parametrize("warm", [True, False])
def test_an_estimator_starts_where_it_is_told(warm: bool) -> None:
    assert Fit().estimator(warm_start=warm).warm_start is warm
