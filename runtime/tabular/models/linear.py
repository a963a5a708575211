"""Linear regression, with an L2 penalty or without."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge

from runtime.tabular.columns.columns import Task
from runtime.tabular.models.base import Arrays, Fit
from runtime.tabular.models.linear_model import LinearModel
from runtime.tabular.summed_loss import SquaredLoss, Vector


class Linear(LinearModel):
    """`coef` of shape (1, d) and `intercept` of shape (1,), in units of `label`: mean and deviation.

    Ridge is the same in any unit of the label, and in these its sums have a size that can be summed.
    """

    tasks: ClassVar[frozenset[Task]] = frozenset({Task.LINEAR})
    quadratic: ClassVar[bool] = True

    def initial(self, features: int, seed: int) -> Arrays:
        """Return the model that says the labels' mean."""
        return {**super().initial(features, seed), "label": np.array([0.0, 1.0])}

    def loss(self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit) -> SquaredLoss:  # noqa: ARG002
        """Return the loss of a silo's rows, whose labels are in the model's units."""
        return SquaredLoss(z, y)

    def label_sums(self, y: npt.NDArray[Any], exposure: npt.NDArray[np.float64] | None) -> Vector:  # noqa: ARG002
        """Return how many labels there are, their sum and the sum of their squares."""
        return np.array([len(y), y.sum(), (y**2).sum()])

    def labelled(self, arrays: Arrays, sums: Vector) -> Arrays:
        """Keep the labels' mean and deviation."""
        mean = sums[1] / sums[0]
        variance = sums[2] / sums[0] - mean**2
        return {**arrays, "label": np.array([mean, np.sqrt(variance) if variance > 0 else 1.0])}

    def started(self, arrays: Arrays, sums: Vector, how: Fit) -> Arrays:  # noqa: ARG002
        """Begin at the mean, which is 0 in the model's units."""
        return arrays

    def units(self, arrays: Arrays, y: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return labels in the model's units."""
        mean, deviation = arrays["label"]
        return np.asarray((y - mean) / deviation)

    def predict(self, fitted: BaseEstimator, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the expected label: shape (n,)."""
        return np.asarray(fitted.predict(rows), dtype=np.float64)

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return scikit-learn's Ridge."""
        mean, deviation = arrays["label"]
        fitted = Ridge()
        fitted.coef_, fitted.intercept_ = (
            deviation * arrays["coef"][0],
            float(mean + deviation * arrays["intercept"][0]),
        )
        fitted.n_features_in_ = features
        return fitted

    def alone(
        self,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[Any],
        how: Fit,
        rounds: int,  # noqa: ARG002 - it is exact
    ) -> BaseEstimator:
        """Fit scikit-learn's Ridge."""
        return Ridge(alpha=1 / how.c, solver="svd").fit(z, y)


MODEL = Linear()
