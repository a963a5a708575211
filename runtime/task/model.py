"""The model: logistic regression on log1p + standardised features, as arrays and as a Pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from runtime.task.data import Dataset
from runtime.task.logistic import Curvature, Silo, Vector
from runtime.task.moments import Moments, Scaler

Arrays = Mapping[str, npt.NDArray[np.float64]]
"""The global model's parameters: `coef` of shape (1, d) and `intercept` of shape (1,)."""


@dataclass(frozen=True)
class Fit:
    """How a client fits.

    Parameters
    ----------
    iterations
        L-BFGS iterations on the silo in one round.
    c
        Inverse strength of the L2 penalty, as scikit-learn's LogisticRegression has it.
    class_weight
        `balanced` weighs each label by the inverse of its share in the silo.
    mu
        Weight of FedProx's proximal term.
    """

    iterations: int = 10
    c: float = 1.0
    class_weight: Literal["none", "balanced"] = "none"
    mu: float = 0.0


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


def fit(arrays: Arrays, scaler: Scaler, train: Dataset, how: Fit) -> tuple[Arrays, float]:
    """Fit on one silo, starting from the global model.

    Returns
    -------
    Arrays, float
        The silo's model, of the same names and shapes, and the mean log loss of the model it started from.
    """
    silo, start = Silo(train, scaler, balanced=how.class_weight == "balanced"), to_vector(arrays)
    fitted = silo.fit(start, iterations=how.iterations, c=how.c, mu=how.mu)
    return from_vector(fitted), silo.loss(start)


def curvature(arrays: Arrays, scaler: Scaler, train: Dataset) -> Curvature:
    """Return loss, gradient and Hessian of the global model on one silo, as sums over its rows."""
    return Silo(train, scaler).curvature(to_vector(arrays))


def fit_alone(train: Dataset, how: Fit) -> Pipeline:
    """Fit scikit-learn's own estimator on one data set: what pooling, or staying alone, would give."""
    scaler = Moments.of(train.x).scaler()
    estimator = LogisticRegression(
        C=how.c,
        class_weight="balanced" if how.class_weight == "balanced" else None,
        solver="newton-cholesky",
        tol=1e-10,
    )
    estimator.fit((np.log1p(train.x) - scaler.mean) / scaler.scale, train.y)
    return pipeline({"coef": estimator.coef_, "intercept": estimator.intercept_}, scaler)


def to_vector(arrays: Arrays) -> Vector:
    """Return a model as one vector: coefficients and, last, the intercept."""
    return np.concatenate([arrays["coef"][0], arrays["intercept"]])


def from_vector(theta: Vector) -> Arrays:
    """Return a vector as a model."""
    return {"coef": theta[None, :-1].copy(), "intercept": theta[-1:].copy()}
