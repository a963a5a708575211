"""Cox's partial likelihood with Breslow's ties, on a grid of times, as sums that add up over silos.

Times count by the cell of the grid that they end in, so that all events of a cell are ties. Who is at risk in
a cell is in it or in a later one: sums over the rows of each cell are all that is needed, and the risk sets of
all silos together are theirs, added from the last cell on (Breslow, "Covariance analysis of censored survival
data", Biometrics 30, 1974).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.tabular.data.rare import time_cells
from runtime.tabular.summed_loss import NOTHING_KNOWN, Curvature, Vector
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
        """Return the sums over the rows of each cell that tell who is at risk.

        Returns
        -------
        dict
            `deaths`, shape (j,): events of each cell; `events`, shape (d,): their features; `risk`, shape
            (j + 1, 1 + d): of the rows that end in each cell, and after the last, hazards and hazards times
            features.
        """
        terms = self._hazard(theta)[:, None] * np.column_stack([np.ones(len(self._z)), self._z])
        risk = np.zeros((self._cells + 1, terms.shape[1]))
        np.add.at(risk, self._ends, terms)
        deaths = np.bincount(self._ends[self._event], minlength=self._cells).astype(np.float64)
        return {"deaths": deaths, "events": self._z[self._event].sum(axis=0), "risk": risk}

    def second(self, theta: Vector, hazards: Vector) -> npt.NDArray[np.float64]:
        """Return the features' products, weighted by each row's cumulative hazard: shape (d, d).

        Parameters
        ----------
        hazards
            The mean row's cumulative hazard at the end of each cell, and after the last: shape (j + 1,).
        """
        return self._z.T @ (self._z * (self._hazard(theta) * hazards[self._ends])[:, None])

    def shares(self, theta: Vector, hazards: Vector | None = None) -> tuple[Vector, ...]:
        """Return how much each row is of each sum, as lengths: shape (n,) each."""
        hazard, length = self._hazard(theta), self._lengths
        if hazards is not None:
            return (hazard * hazards[self._ends] * length**2,)
        inside = [self._ends == cell for cell in np.unique(self._ends)]
        told = [np.where(rows, hazard * length, 0.0) for rows in inside]
        return (*told, np.where(self._event, length, 0.0)) if self._event.any() else tuple(told)

    def weights(self, theta: Vector) -> dict[str, npt.NDArray[np.float64]]:
        """Return what each row weighs in each cell's sums, shape (j, n), and how long each row is, shape (n,)."""
        hazard = self._hazard(theta)
        inside = [np.where(self._ends == cell, hazard, 0.0) for cell in np.unique(self._ends)]
        return {"weights": np.stack(inside), "lengths": self._lengths}

    @property
    def _lengths(self) -> Vector:
        return np.asarray(np.linalg.norm(np.column_stack([self._z, np.ones(len(self._z))]), axis=1))

    def losses(self, theta: Vector) -> tuple[float, float]:
        """Return the mean loss a row, and that an event in units in which who knows nothing loses log 2."""
        events = int(self._event.sum())
        if not events:
            return 0.0, 0.0
        here, nothing = (slope(at, self.risk(at)).loss for at in (theta, np.zeros(len(theta))))
        return here / len(self._z), NOTHING_KNOWN * here / max(nothing, 0.5 * events)


def slope(theta: Vector, sums: Mapping[str, npt.NDArray[np.float64]]) -> Curvature:
    """Return negative log partial likelihood and its gradient over all rows, given the sums of all silos."""
    total, mean, deaths = _at_risk(sums)
    gradient = deaths @ mean - sums["events"]
    return Curvature(float(deaths @ np.log(total) - theta @ sums["events"]), gradient)


def bend(sums: Mapping[str, npt.NDArray[np.float64]], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the Hessian, given who is at risk and the weighted products of all silos."""
    _, mean, deaths = _at_risk(sums)
    return second - mean.T @ (deaths[:, None] * mean)


def cumulative_hazard(sums: Mapping[str, npt.NDArray[np.float64]]) -> Vector:
    """Return Breslow's cumulative hazard of the mean row at the end of each cell, and after: shape (j + 1,)."""
    at_risk = np.cumsum(sums["risk"][::-1, 0])[::-1][:-1]
    steps = np.where(sums["deaths"] > 0, sums["deaths"] / np.maximum(at_risk, 1e-300), 0.0)
    return np.append(np.cumsum(steps), steps.sum())


def _at_risk(sums: Mapping[str, npt.NDArray[np.float64]]) -> tuple[Vector, npt.NDArray[np.float64], Vector]:
    """Return, for each cell with events, hazards at risk, the mean features by them, and the events."""
    risk, there = np.cumsum(sums["risk"][::-1], axis=0)[::-1][:-1], sums["deaths"] > 0
    total = risk[there, 0]
    if not (total > 0).all():
        raise UpdateRefusedError("nobody is at risk where there are events")
    return total, risk[there, 1:] / total[:, None], sums["deaths"][there]
