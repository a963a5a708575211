"""Losses that are sums over rows, of one linear predictor or several, with their derivatives.

A silo's sums add up over silos to those of the pooled rows, which is all that FedNewton needs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp

Vector = npt.NDArray[np.float64]
"""Coefficients and, last, the intercept, of one predictor after the other: shape (k (d + 1),)."""

NOTHING_KNOWN: Final = math.log(2)
"""What a model that knows nothing loses a row, in nats: losses are told in this unit, whatever the task."""


@dataclass(frozen=True, eq=False)
class Curvature:
    """Sums over a silo's rows at one model: what a Newton step needs of it.

    Parameters
    ----------
    loss
        Sum of the rows' losses, in nats.
    gradient
        Its gradient, shape (p,).
    hessian
        Its Hessian, shape (p, p); None where it was not asked for.
    bound
        A matrix that is not smaller than it, where that was asked for instead.
    """

    loss: float
    gradient: Vector
    hessian: npt.NDArray[np.float64] | None = None
    bound: npt.NDArray[np.float64] | None = None

    def arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return what leaves a client."""
        told = {"loss": np.array([self.loss]), "gradient": self.gradient}
        return told if self.hessian is None else {**told, "hessian": self.hessian}


@dataclass(frozen=True, eq=False)
class Rows:
    """Derivatives of each row's loss by its k predictors.

    Parameters
    ----------
    loss
        Shape (n,).
    slope
        Shape (n, k).
    bend
        Shape (n, k, k).
    """

    loss: Vector
    slope: npt.NDArray[np.float64]
    bend: npt.NDArray[np.float64]


class SummedLoss(ABC):
    """A loss over a silo's rows.

    Parameters
    ----------
    z
        Standardised features, shape (n, d).
    y
        Labels, shape (n,).
    weight
        What each row weighs, shape (n,); None is one for all.
    """

    outputs = 1

    def __init__(
        self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], weight: npt.NDArray[np.float64] | None = None
    ) -> None:
        self._z = np.column_stack([z, np.ones(len(z))])
        self._y = y.astype(np.float64)
        self._weight = np.ones(len(y)) if weight is None else weight

    @abstractmethod
    def rows(self, eta: npt.NDArray[np.float64]) -> Rows:
        """Return each row's loss and its derivatives at predictors of shape (n, k)."""

    @abstractmethod
    def null(self) -> float:
        """Return about what a model that knows nothing loses a row."""

    def _at(self, theta: Vector) -> Rows:
        found = self.rows(self._z @ theta.reshape(self.outputs, -1).T)
        weight = self._weight
        return Rows(weight * found.loss, weight[:, None] * found.slope, weight[:, None, None] * found.bend)

    def curvature(self, theta: Vector, *, curved: bool = True) -> Curvature:
        """Return loss, gradient and Hessian as sums, which add up over silos to those of the pooled rows."""
        found, width, k = self._at(theta), self._z.shape[1], self.outputs
        if not curved:
            return Curvature(float(found.loss.sum()), (found.slope.T @ self._z).ravel())
        hessian = np.empty((k, width, k, width))
        for one in range(k):
            for other in range(one, k):
                block = self._z.T @ (self._z * found.bend[:, one, other, None])
                hessian[one, :, other], hessian[other, :, one] = block, block
        gradient = (found.slope.T @ self._z).ravel()
        return Curvature(float(found.loss.sum()), gradient, hessian.reshape(k * width, k * width))

    @property
    def cells(self) -> int:
        """How many numbers the rows and their labels are."""
        return self._z.size

    def shares(self, theta: Vector) -> tuple[Vector, ...]:
        """Return how much each row is of each sum, gradients first, as lengths: shape (n,) each."""
        found, length = self._at(theta), self.lengths
        pairs = zip(*np.triu_indices(self.outputs), strict=True)
        bends = [np.abs(found.bend[:, one, other]) * length**2 for one, other in pairs]
        return (*(np.abs(slope) * length for slope in found.slope.T), *bends)

    @property
    def lengths(self) -> Vector:
        """Return how long each row is: shape (n,)."""
        return np.asarray(np.linalg.norm(self._z, axis=1), dtype=np.float64)

    def weights(self, theta: Vector) -> dict[str, npt.NDArray[np.float64]]:
        """Return what each row weighs in each gradient, shape (k, n), and how long it is, shape (n,)."""
        return {"weights": self._at(theta).slope.T, "lengths": self.lengths}

    def mean(self, theta: Vector) -> float:
        """Return the mean loss a row, in nats."""
        return float(self.rows(self._z @ theta.reshape(self.outputs, -1).T).loss.mean())

    def relative(self, theta: Vector) -> float:
        """Return the mean loss a row, in units in which a model that knows nothing loses log 2."""
        return NOTHING_KNOWN * self.mean(theta) / self.null()

    def fit(self, start: Vector, *, iterations: int, c: float, mu: float = 0.0) -> Vector:
        """Minimise mean loss + |coef|^2 / (2 C n) + mu / 2 |theta - start|^2 by some L-BFGS iterations.

        Parameters
        ----------
        mu
            Weight of the proximal term (Li et al., "Federated optimization in heterogeneous networks",
            MLSys 2020), which keeps a silo near the global model.
        """
        n, k = len(self._y), self.outputs
        penalty = np.full((k, len(start) // k), 1 / (c * n))
        penalty[:, -1] = 0.0

        def objective(theta: Vector) -> tuple[float, Vector]:
            found = self._at(theta)
            away = theta - start
            value = found.loss.sum() / n + float(penalty.ravel() @ theta**2 + mu * (away @ away)) / 2
            gradient = (found.slope.T @ self._z).ravel() / n
            return value, gradient + penalty.ravel() * theta + mu * away

        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
        return np.asarray(found.x, dtype=np.float64)


class SoftmaxLoss(SummedLoss):
    """Log loss of several classes, a predictor each."""

    def __init__(
        self,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[Any],
        weight: npt.NDArray[np.float64] | None = None,
        *,
        classes: int,
    ) -> None:
        super().__init__(z, y, weight)
        self.outputs = classes
        self._one_hot = np.eye(classes)[y.astype(np.int64)]

    def rows(self, eta: npt.NDArray[np.float64]) -> Rows:
        """Return each row's loss and its derivatives."""
        logs = eta - logsumexp(eta, axis=1, keepdims=True)
        p = np.exp(logs)
        bend = p[:, :, None] * (np.eye(self.outputs) - p[:, None, :])
        return Rows(-(self._one_hot * logs).sum(axis=1), p - self._one_hot, bend)

    def null(self) -> float:
        """Return what equal probabilities lose."""
        return math.log(self.outputs)


class SquaredLoss(SummedLoss):
    """Half the squared error of a label in units of its standard deviation."""

    def rows(self, eta: npt.NDArray[np.float64]) -> Rows:
        """Return each row's loss and its derivatives."""
        away = eta[:, 0] - self._y
        return Rows(away**2 / 2, away[:, None], np.ones((len(away), 1, 1)))

    def null(self) -> float:
        """Return what the mean of all silos loses here, and not less than over all of them."""
        return max(0.5, float((self._y**2).mean()) / 2)


class PoissonLoss(SummedLoss):
    """Negative log likelihood of counts, whose mean is exposure times exp(predictor)."""

    def __init__(
        self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], exposure: npt.NDArray[np.float64] | None = None
    ) -> None:
        super().__init__(z, y)
        self._exposure = np.ones(len(y)) if exposure is None else exposure

    def rows(self, eta: npt.NDArray[np.float64]) -> Rows:
        """Return each row's loss and its derivatives."""
        mean = self._exposure * np.exp(np.minimum(eta[:, 0], 500.0))
        logs = np.log(self._exposure) + eta[:, 0]
        loss = mean - self._y * logs + gammaln(self._y + 1)
        return Rows(loss, (mean - self._y)[:, None], mean[:, None, None])

    def null(self) -> float:
        """Return what the silo's own rate loses, and not less than half a nat."""
        rate = max(self._y.sum(), 0.5) / self._exposure.sum()
        return max(0.5, float(self.rows(np.full((len(self._y), 1), np.log(rate))).loss.mean()))
