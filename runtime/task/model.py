"""The model: logistic regression on log1p + standardised features, as arrays and as a Pipeline."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from runtime.task.data import Dataset
from runtime.task.moments import Moments, Scaler

Arrays = Mapping[str, npt.NDArray[np.float64]]
"""The global model's parameters: `coef` of shape (1, d) and `intercept` of shape (1,)."""

CONVERGED = 1_000
"""Iterations that are plenty for a fit that is not one of many rounds."""


@dataclass(frozen=True)
class Fit:
    """How a client fits: the options of scikit-learn's LogisticRegression that a run may set.

    Parameters
    ----------
    iterations
        L-BFGS iterations on the silo in one round.
    c
        Inverse strength of the L2 penalty.
    class_weight
        `balanced` weighs each label by the inverse of its share in the silo.
    """

    iterations: int = 10
    c: float = 1.0
    class_weight: Literal["none", "balanced"] = "none"

    def estimator(self, *, warm_start: bool) -> LogisticRegression:
        """Return the unfitted classifier."""
        weight = None if self.class_weight == "none" else self.class_weight
        return LogisticRegression(
            C=self.c, max_iter=self.iterations, class_weight=weight, warm_start=warm_start
        )


def initial_arrays(features: int) -> Arrays:
    """Return the model that knows nothing: every provider has probability one half."""
    return {"coef": np.zeros((1, features)), "intercept": np.zeros(1)}


def pipeline(arrays: Arrays, scaler: Scaler) -> Pipeline:
    """Build the fitted Pipeline that takes raw rows; loading it needs scikit-learn and nothing of ours."""
    features = scaler.mean.shape[0]
    standardise = StandardScaler()
    standardise.mean_, standardise.scale_ = scaler.mean.copy(), scaler.scale.copy()
    standardise.var_ = scaler.scale**2
    standardise.n_features_in_ = features
    classify = LogisticRegression()
    classify.coef_, classify.intercept_ = arrays["coef"].copy(), arrays["intercept"].copy()
    classify.classes_, classify.n_features_in_ = np.array([0, 1]), features
    classify.n_iter_ = np.zeros(1, dtype=np.int32)
    return Pipeline(
        [
            ("log1p", FunctionTransformer(np.log1p, inverse_func=np.expm1)),
            ("standardise", standardise),
            ("classify", classify),
        ]
    )


def fit(arrays: Arrays, scaler: Scaler, train: Dataset, how: Fit) -> Arrays:
    """Fit on one silo, starting from the global model.

    Parameters
    ----------
    train
        Rows of both labels.

    Returns
    -------
    Arrays
        The silo's model, of the same names and shapes.
    """
    estimator = how.estimator(warm_start=True)
    estimator.coef_, estimator.intercept_ = arrays["coef"].copy(), arrays["intercept"].copy()
    estimator.classes_ = np.array([0, 1])
    z = (np.log1p(train.x) - scaler.mean) / scaler.scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few iterations a round are the point
        estimator.fit(z, train.y)
    return {"coef": estimator.coef_, "intercept": estimator.intercept_}


def fit_alone(train: Dataset, how: Fit) -> Pipeline:
    """Fit to convergence on one data set with its own scaler: what pooling, or staying alone, would give."""
    scaler = Moments.of(train.x).scaler()
    converged = Fit(iterations=CONVERGED, c=how.c, class_weight=how.class_weight)
    return pipeline(fit(initial_arrays(train.x.shape[1]), scaler, train, converged), scaler)
