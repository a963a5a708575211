"""Logistic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from runtime.tabular.data.schema import CMS, Schema
from runtime.tabular.logistic_loss import LogisticLoss, Vector
from runtime.tabular.models.base import Arrays, Fit, Model, classes_of, logistic_regression
from runtime.tabular.models.linear_model import (
    LinearModel,
    class_weights,
    from_vector,
    row_weights,
    to_vector,
)

__all__ = ["MODEL", "Logistic", "Vector", "from_vector", "to_vector"]


class Logistic(LinearModel):
    """`coef` of shape (1, d) and `intercept` of shape (1,)."""

    def __init__(self, schema: Schema = CMS) -> None:
        self._schema = schema

    def of(self, schema: Schema) -> Model:
        """Return the model whose labels are a schema's."""
        return Logistic(schema)

    def loss(self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit) -> LogisticLoss:
        """Return the loss of a silo's rows."""
        balanced = how.class_weight == "balanced"
        return LogisticLoss(z, y, balanced=balanced, weight=row_weights(y, how))

    def label_sums(self, y: npt.NDArray[Any], exposure: npt.NDArray[np.float64] | None) -> Vector:  # noqa: ARG002
        """Return how many rows have each label."""
        return np.bincount(y, minlength=2).astype(np.float64)

    def started(self, arrays: Arrays, sums: Vector, how: Fit) -> Arrays:
        """Begin at the log-odds."""
        weighed = sums * class_weights(sums, how)
        return {
            **arrays,
            "intercept": np.array([np.log(weighed[1] / weighed[0])]) if weighed.all() else np.zeros(1),
        }

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return scikit-learn's LogisticRegression."""
        return logistic_regression(arrays, self._schema, features)

    def alone(
        self,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[np.int64],
        how: Fit,
        rounds: int,  # noqa: ARG002 - it converges
    ) -> BaseEstimator:
        """Fit scikit-learn's LogisticRegression to convergence."""
        weight = "balanced" if how.class_weight == "balanced" else None
        fitted = LogisticRegression(C=how.c, class_weight=weight, solver="newton-cholesky", tol=1e-10)
        fitted.fit(z, y)
        fitted.classes_ = classes_of(self._schema)
        return fitted


MODEL = Logistic()
