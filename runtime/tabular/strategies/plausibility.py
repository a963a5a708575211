"""What no rows can give: FedNewton's updates are held against what logistic loss allows.

Loss, gradient and Hessian of a summed log loss bind each other, for one client and for a sum over the same
members alike. An update that breaks a bound is refused; one that keeps them all may still be a lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.updates import UpdateRefusedError

Vector = npt.NDArray[np.float64]

SLACK: Final = 1e-8
"""What rounding may add to a bound that honest rows can reach, relative to the figures compared."""


@dataclass(frozen=True, eq=False)
class _Answer:
    theta: Vector
    loss: float
    gradient: Vector


class PlausibleCurvature:
    """The updates of one source: a client, or the sum over some members.

    With rows x, probabilities p and weights w = p (1 - p) <= 1/4, the Hessian is the sum of w x x': it is
    positive semidefinite, no larger than at the zero model, where every w is 1/4, and its last diagonal cell,
    the intercept's, is the sum of w. The loss is convex, so it lies above its tangents and below the parabola
    of the largest Hessian (Boyd and Vandenberghe, "Convex Optimization", 3.1.3 and 9.1.2).

    Parameters
    ----------
    logistic
        Whether the loss is that of logistic regression with weights of one. Of others only what holds of
        every convex loss that is never negative is asked.
    """

    def __init__(self, *, logistic: bool = True) -> None:
        self._logistic = logistic
        self._rows: int | None = None
        self._largest: Vector | None = None
        self._last: _Answer | None = None

    def check(self, theta: Vector, loss: float, gradient: Vector, hessian: Vector | None, rows: int) -> None:
        """Refuse an update that no rows can give, alone or after the ones before it.

        Parameters
        ----------
        theta
            The model that was asked about, shape (d + 1,), the intercept last.
        loss, gradient, hessian
            Sums over the rows; no Hessian where it was not asked for.
        rows
            How many.

        Raises
        ------
        UpdateRefusedError
            Naming the bound that does not hold.
        """
        finite = np.isfinite(gradient).all() and (hessian is None or np.isfinite(hessian).all())
        if not (math.isfinite(loss) and finite):
            raise UpdateRefusedError("loss, gradient or Hessian is not finite")
        if self._rows is not None and rows != self._rows:
            raise UpdateRefusedError(f"it comes from {rows} rows, and the one before from {self._rows}")
        if loss < -SLACK * rows:
            raise UpdateRefusedError(f"the loss is {loss:.6g}, below zero")
        if hessian is not None:
            _check_hessian(hessian, rows, logistic=self._logistic)
        if self._logistic and hessian is not None:
            if abs(gradient[-1]) > rows * (1 + SLACK):
                raise UpdateRefusedError(f"the intercept's slope is {gradient[-1]:.6g} with {rows} rows")
            self._check_against_flat_model(theta, _Answer(theta, loss, gradient), hessian, rows)
        self._check_step(theta, loss)
        self._rows, self._last = rows, _Answer(theta.copy(), loss, gradient)

    def _check_against_flat_model(self, theta: Vector, told: _Answer, hessian: Vector, rows: int) -> None:
        """Hold it against the model that has an intercept only, where each row weighs the same."""
        if not theta[:-1].any():
            p = 1 / (1 + math.exp(-theta[-1]))
            weight, positives = rows * p * (1 - p), rows * p - told.gradient[-1]
            loss = rows * np.logaddexp(0.0, theta[-1]) - positives * theta[-1]
            if abs(hessian[-1, -1] - weight) > 1e-6 * rows:
                raise UpdateRefusedError(
                    f"at the zero model {rows} rows weigh {weight:g}, not {hessian[-1, -1]:.6g}"
                )
            if abs(told.loss - loss) > 1e-6 * rows:
                raise UpdateRefusedError(
                    f"at the zero model {rows} rows lose {loss:.6g}, not {told.loss:.6g}"
                )
            self._largest = hessian / (4 * p * (1 - p))
        elif self._largest is not None:
            room = np.linalg.eigvalsh(self._largest - hessian)
            if room[0] < -SLACK * max(1.0, np.abs(self._largest).max() * len(hessian)):
                raise UpdateRefusedError(
                    "the Hessian is larger than at the zero model, where every row weighs most"
                )

    def _check_step(self, theta: Vector, loss: float) -> None:
        if self._last is None:
            return
        step = theta - self._last.theta
        tangent = self._last.loss + float(self._last.gradient @ step)
        bend = float(step @ self._largest @ step) / 2 if self._largest is not None else math.inf
        size = abs(loss) + abs(self._last.loss) + float(np.abs(self._last.gradient) @ np.abs(step)) + 1.0
        if loss < tangent - SLACK * size:
            raise UpdateRefusedError(
                f"the loss is {loss:.6g}, below the tangent of the one before, {tangent:.6g}"
            )
        if loss > tangent + bend * (1 + SLACK) + SLACK * size:
            raise UpdateRefusedError(f"the loss is {loss:.6g}, the step allows {tangent + bend:.6g} at most")


def _check_hessian(hessian: Vector, rows: int, *, logistic: bool) -> None:
    size = max(1.0, float(np.abs(hessian).max()))
    if np.abs(hessian - hessian.T).max() > SLACK * size:
        raise UpdateRefusedError("the Hessian is not symmetric")
    if (least := float(np.linalg.eigvalsh(hessian)[0])) < -SLACK * size * len(hessian):
        raise UpdateRefusedError(
            f"the Hessian is not positive semidefinite: it has the eigenvalue {least:.6g}"
        )
    if logistic and hessian[-1, -1] > rows / 4 * (1 + SLACK):
        raise UpdateRefusedError(f"{rows} rows weigh {rows / 4:g} at most, not {hessian[-1, -1]:.6g}")
