"""Cox's partial likelihood with Breslow's ties, on a grid of times, as sums that add up over silos.

Times count by the cell of the grid that they end in, so that all events of a cell are ties. Who is at risk
in a cell is in it or in a later one: sums over the rows of each cell are all that is needed, and the risk
sets of all silos together are theirs, added from the last cell on (Breslow, "Covariance analysis of censored
survival data", Biometrics 30, 1974).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.tabular.columns.rare import time_cells
from runtime.tabular.summed_loss import NOTHING_KNOWN, Vector
from runtime.updates import UpdateRefusedError

FARTHEST: Final = 200.0
"""Of a log hazard ratio, so that none overflows."""


class CoxRows:
    """The rows of a silo.

    Parameters
    ----------
    z
        Standardised features, shape (n, d).
    y
        Times, those of censored rows negative, shape (n,).
    grid
        Right ends of the cells. An event after the last one is none: its row was at risk all along.
    """

    def __init__(self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], grid: tuple[float, ...]) -> None:
        self._z, self._cells = z, len(grid)
        self._ends = time_cells(y, grid)
        self._event = (y > 0) & (self._ends < self._cells)

    @property
    def cells(self) -> int:
        """How many numbers the rows, their times and events are."""
        return self._z.size + 2 * len(self._z)

    def _hazard(self, theta: Vector) -> Vector:
        return np.asarray(np.exp(np.clip(self._z @ theta, -FARTHEST, FARTHEST)), dtype=np.float64)

    def risk(self, theta: Vector) -> dict[str, npt.NDArray[np.float64]]:
        """Return what tells who is at risk.

        Returns
        -------
        dict
            `deaths`, shape (j,): events of each cell; `risk`, shape (j + 1,): hazards of the rows that end in
            each cell, and after the last; `eta`, shape (1,): log hazards of the events.
        """
        risk = np.bincount(self._ends, self._hazard(theta), self._cells + 1)
        deaths = np.bincount(self._ends[self._event], minlength=self._cells).astype(np.float64)
        return {
            "deaths": deaths,
            "risk": risk,
            "eta": np.array([float((self._z @ theta)[self._event].sum())]),
        }

    def _residual(self, theta: Vector, hazards: Vector) -> Vector:
        """Return of each row what is expected by now less what happened: shape (n,)."""
        return np.asarray(self._hazard(theta) * hazards[self._ends] - self._event, dtype=np.float64)

    def slope(self, theta: Vector, hazards: Vector) -> Vector:
        """Return the gradient, given the mean row's cumulative hazard at the end of each cell, and after."""
        return np.asarray(self._z.T @ self._residual(theta, hazards), dtype=np.float64)

    def products(self, theta: Vector, hazards: Vector) -> npt.NDArray[np.float64]:
        """Return the features' products, weighted by each row's cumulative hazard: shape (d, d)."""
        return self._z.T @ (self._z * (self._hazard(theta) * hazards[self._ends])[:, None])

    def features(self, theta: Vector) -> npt.NDArray[np.float64]:
        """Return hazards times features of the rows that end in each cell, and after the last: (j + 1, d)."""
        made = np.zeros((self._cells + 1, self._z.shape[1]))
        np.add.at(made, self._ends, self._hazard(theta)[:, None] * self._z)
        return made

    def in_cells(self, theta: Vector) -> npt.NDArray[np.float64]:
        """Return the hazard of each row in the cell that it ends in: shape (j, n)."""
        hazard = self._hazard(theta)
        return np.stack([np.where(self._ends == cell, hazard, 0.0) for cell in np.unique(self._ends)])

    def disclosed(self, theta: Vector, hazards: Vector, *, features: bool) -> dict[str, Any]:
        """Return what gradient and products, and perhaps each cell's features, tell of single rows."""
        residual, length = self._residual(theta, hazards), self._lengths
        weights = residual[None, :]
        shares = [np.abs(residual) * length, self._hazard(theta) * hazards[self._ends] * length**2]
        if features:
            weights = np.vstack([weights, self.in_cells(theta)])
            shares += list(self.in_cells(theta) * length)
        return {"shares": tuple(shares), "weights": weights, "lengths": length}

    @property
    def _lengths(self) -> Vector:
        return np.asarray(np.linalg.norm(np.column_stack([self._z, np.ones(len(self._z))]), axis=1))

    def losses(self, theta: Vector) -> tuple[float, float]:
        """Return the mean loss a row, and that an event in units in which who knows nothing loses log 2."""
        events = int(self._event.sum())
        if not events:
            return 0.0, 0.0
        here, nothing = (loss(self.risk(at)) for at in (theta, np.zeros(self._z.shape[1])))
        return here / len(self._z), NOTHING_KNOWN * here / max(nothing, 0.5 * events)


def loss(sums: Mapping[str, npt.NDArray[np.float64]]) -> float:
    """Return the negative log partial likelihood over all rows, given the sums of all silos."""
    at_risk, there = np.cumsum(sums["risk"][::-1])[::-1][:-1], sums["deaths"] > 0
    if not (at_risk[there] > 0).all():
        raise UpdateRefusedError("nobody is at risk where there are events")
    return float(sums["deaths"][there] @ np.log(at_risk[there]) - sums["eta"][0])


def between(sums: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Return what is to be taken from the products for the Hessian: those of the mean features at risk."""
    there = sums["deaths"] > 0
    at_risk = np.cumsum(sums["risk"][::-1])[::-1][:-1][there]
    mean = np.cumsum(sums["features"][::-1], axis=0)[::-1][:-1][there] / at_risk[:, None]
    return np.asarray(mean.T @ (sums["deaths"][there][:, None] * mean), dtype=np.float64)


def cumulative_hazard(sums: Mapping[str, npt.NDArray[np.float64]]) -> Vector:
    """Return Breslow's cumulative hazard of the mean row by each cell's end, and after: shape (j + 1,)."""
    at_risk = np.cumsum(sums["risk"][::-1])[::-1][:-1]
    steps = np.where(sums["deaths"] > 0, sums["deaths"] / np.maximum(at_risk, 1e-300), 0.0)
    by_now = np.cumsum(steps)
    return np.append(by_now, by_now[-1])  # steps.sum() adds in another order, and may be less by a rounding
