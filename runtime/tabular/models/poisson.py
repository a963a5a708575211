"""Poisson regression of counts, over an exposure if there is one."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.linear_model import PoissonRegressor

from runtime.tabular.columns.columns import Task
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.models.base import Arrays, Fit
from runtime.tabular.models.linear_model import LinearModel
from runtime.tabular.summed_loss import PoissonLoss, Vector


class Poisson(LinearModel):
    """`coef` of shape (1, d) and `intercept` of shape (1,): the log of the rate for one unit of exposure."""

    tasks: ClassVar[frozenset[Task]] = frozenset({Task.POISSON})
    exponential: ClassVar[bool] = True

    def loss(self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit) -> PoissonLoss:
        """Return the loss of a silo's rows."""
        return PoissonLoss(z, y, how.exposure)

    def label_sums(self, y: npt.NDArray[Any], exposure: npt.NDArray[np.float64] | None) -> Vector:
        """Return how many were counted, and over how much."""
        return np.array([y.sum(), len(y) if exposure is None else exposure.sum()])

    def started(self, arrays: Arrays, sums: Vector, how: Fit) -> Arrays:  # noqa: ARG002
        """Begin at the rate of all."""
        return {**arrays, "intercept": np.array([np.log(max(sums[0], 0.5) / sums[1])])}

    def predict(self, fitted: BaseEstimator, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the rate for one unit of exposure: shape (n,)."""
        return np.asarray(fitted.predict(rows), dtype=np.float64)

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return scikit-learn's PoissonRegressor, which predicts the rate for one unit of exposure."""
        fitted = PoissonRegressor()
        fitted.coef_, fitted.intercept_ = arrays["coef"][0].copy(), float(arrays["intercept"][0])
        fitted.n_features_in_, fitted.n_iter_ = features, 0
        fitted._base_loss = fitted._get_loss()
        return fitted

    def alone(
        self,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[Any],
        how: Fit,
        rounds: int,  # noqa: ARG002
    ) -> BaseEstimator:
        """Fit scikit-learn's PoissonRegressor: rates weighted by exposure are counts with an offset."""
        exposure = np.ones(len(y)) if how.exposure is None else how.exposure
        alpha = 1 / (how.c * exposure.sum())
        fitted = PoissonRegressor(alpha=alpha, solver="newton-cholesky", tol=1e-12, max_iter=200)
        return fitted.fit(z, y / exposure, sample_weight=exposure)

    def alone_on(self, z: npt.NDArray[np.float64], train: Dataset, how: Fit, rounds: int) -> BaseEstimator:
        """Fit on one data set, over its exposure."""
        return super().alone_on(z, train, how.over(train.exposure), rounds)


MODEL = Poisson()
