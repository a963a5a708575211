"""The table and the model: scikit-learn's wines, of which each client holds every n-th."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

Array = npt.NDArray[np.float64]
KINDS, FEATURES = 3, 13


def part(number: int, of: int) -> tuple[Array, Array]:
    """Return one client's rows, standardised by what is published of the data set, and their labels."""
    x, y = load_wine(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x[number::of], y[number::of]


def model(parameters: list[Array], iterations: int) -> LogisticRegression:
    """Return softmax regression that goes on from some parameters: coefficients (3, 13), intercepts (3,)."""
    regression = LogisticRegression(max_iter=iterations, warm_start=True)
    regression.coef_, regression.intercept_ = parameters
    regression.classes_ = np.arange(KINDS)
    return regression


def fit(regression: LogisticRegression, x: Array, y: Array) -> list[Array]:
    """Fit for a few iterations, which need not be enough to converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(x, y)
    return [regression.coef_, regression.intercept_]


def scores(regression: LogisticRegression, x: Array, y: Array) -> dict[str, float]:
    """Return accuracy and log loss over all three kinds."""
    probability = regression.predict_proba(x)
    return {
        "accuracy": float(accuracy_score(y, probability.argmax(axis=1))),
        "log_loss": float(log_loss(y, probability, labels=np.arange(KINDS))),
    }
