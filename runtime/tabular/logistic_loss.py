"""The logistic loss and its derivatives on one silo, and how a silo minimises its share of it.

Written out because federated methods need its parts: the proximal term of FedProx, and the gradient and
Hessian of FedNewton. Unlike scikit-learn's fit it takes silos with one label, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.utils.class_weight import compute_sample_weight

Vector = npt.NDArray[np.float64]
"""Coefficients and, last, the intercept: shape (d + 1,)."""


@dataclass(frozen=True, eq=False)
class Curvature:
    """Sums over a silo's rows at one model: what a Newton step needs of it.

    Parameters
    ----------
    loss
        Sum of the rows' log losses, in nats.
    gradient
        Its gradient, shape (d + 1,).
    hessian
        Its Hessian, shape (d + 1, d + 1).
    """

    loss: float
    gradient: Vector
    hessian: npt.NDArray[np.float64]


class LogisticLoss:
    """The logistic loss of one silo's rows.

    Parameters
    ----------
    z
        Standardised features, shape (n, d).
    y
        Labels 0 or 1, shape (n,).
    balanced
        Weigh each label by the inverse of its share in this silo.
    """

    def __init__(
        self, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], *, balanced: bool = False
    ) -> None:
        self._z = np.column_stack([z, np.ones(len(z))])
        self._y = y.astype(np.float64)
        self._weight = compute_sample_weight("balanced" if balanced else None, y)

    def curvature(self, theta: Vector) -> Curvature:
        """Return loss, gradient and Hessian as sums, which add up over silos to those of the pooled rows."""
        loss, gradient, p = self._sums(theta)
        return Curvature(loss, gradient, self._z.T @ (self._z * (self._weight * p * (1 - p))[:, None]))

    @property
    def cells(self) -> int:
        """How many numbers the rows and their labels are."""
        return self._z.size

    def shares(self, theta: Vector) -> tuple[Vector, Vector]:
        """Return how much of gradient and Hessian each row is, as lengths: shape (n,) each."""
        p, length = expit(self._z @ theta), np.linalg.norm(self._z, axis=1)
        return self._weight * np.abs(p - self._y) * length, self._weight * p * (1 - p) * length**2

    def weights(self, theta: Vector) -> dict[str, Vector]:
        """Return what each row weighs in the gradient, and how long each row is: shape (n,) each."""
        residual = self._weight * (expit(self._z @ theta) - self._y)
        return {"weights": residual, "lengths": np.linalg.norm(self._z, axis=1)}

    def fit(self, start: Vector, *, iterations: int, c: float, mu: float = 0.0) -> Vector:
        """Minimise mean log loss + |coef|^2 / (2 C n) + mu / 2 |theta - start|^2 by some L-BFGS iterations.

        Parameters
        ----------
        mu
            Weight of the proximal term (Li et al., "Federated optimization in heterogeneous networks",
            MLSys 2020), which keeps a silo near the global model.
        """
        n = len(self._y)
        penalty = np.append(np.full(len(start) - 1, 1 / (c * n)), 0.0)

        def objective(theta: Vector) -> tuple[float, Vector]:
            loss, gradient, _ = self._sums(theta)
            away = theta - start
            value = loss / n + float(penalty @ theta**2 + mu * (away @ away)) / 2
            return value, gradient / n + penalty * theta + mu * away

        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
        return np.asarray(found.x, dtype=np.float64)

    def _sums(self, theta: Vector) -> tuple[float, Vector, Vector]:
        """Return the summed loss, its gradient, and each row's probability."""
        margin = self._z @ theta
        p = expit(margin)
        loss = float(self._weight @ (np.logaddexp(0.0, margin) - self._y * margin))
        return loss, self._z.T @ (self._weight * (p - self._y)), p
