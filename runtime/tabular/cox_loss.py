"""Cox's partial likelihood with Breslow's ties, on a grid of times, as sums that add up over silos.

Times count by the cell of the grid that they end in, so that all events of a cell are ties. Who is at risk in
a cell is in it or in a later one: sums over the rows of each cell are all that is needed, and the risk sets of
all silos together are theirs, added from the last cell on (Breslow, "Covariance analysis of censored survival
data", Biometrics 30, 1974).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.tabular.data.rare import time_cells
from runtime.tabular.summed_loss import NOTHING_KNOWN, Curvature, Vector

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

    def sums(self, theta: Vector) -> dict[str, npt.NDArray[np.float64]]:
        """Return the sums: events and rows of each cell.

        Returns
        -------
        dict
            `deaths`, shape (j,): events of each cell; `events`, shape (d,): their features; `risk`, shape
            (j + 1, 1 + d + d (d + 1) / 2): of the rows that end in each cell, and after the last, the hazards
            alone, times the features, and times their products (upper triangle).
        """
        hazard, (n, d) = self._hazard(theta), self._z.shape
        upper = np.triu_indices(d)
        terms = np.column_stack([np.ones(n), self._z, self._z[:, upper[0]] * self._z[:, upper[1]]])
        risk = np.zeros((self._cells + 1, terms.shape[1]))
        np.add.at(risk, self._ends, hazard[:, None] * terms)
        deaths = np.bincount(self._ends[self._event], minlength=self._cells).astype(np.float64)
        return {"deaths": deaths, "events": self._z[self._event].sum(axis=0), "risk": risk}

    def shares(self, theta: Vector) -> tuple[Vector, ...]:
        """Return how much each row is of each cell's sums, as lengths: shape (n,) each."""
        hazard, length = self._hazard(theta), self._lengths
        inside = [self._ends == cell for cell in np.unique(self._ends)]
        told = [np.where(rows, hazard * length**power, 0.0) for rows in inside for power in (0, 1, 2)]
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
        here, nothing = (curvature(at, self.sums(at)).loss for at in (theta, np.zeros(len(theta))))
        return here / len(self._z), NOTHING_KNOWN * here / max(nothing, 0.5 * events)


def curvature(theta: Vector, sums: dict[str, npt.NDArray[np.float64]]) -> Curvature:
    """Return negative log partial likelihood, gradient and Hessian of all rows, given the sums of all silos."""
    d, deaths = len(theta), sums["deaths"]
    risk = np.cumsum(sums["risk"][::-1], axis=0)[::-1][:-1]
    there = deaths > 0
    risk, deaths = risk[there], deaths[there]
    total = risk[:, 0]
    if not (total > 0).all():
        raise ValueError("nobody is at risk where there are events")
    mean = risk[:, 1 : d + 1] / total[:, None]
    second = np.zeros((d, d))
    second[np.triu_indices(d)] = (deaths / total) @ risk[:, d + 1 :]
    second += np.triu(second, 1).T
    hessian = second - mean.T @ (deaths[:, None] * mean)
    gradient = deaths @ mean - sums["events"]
    return Curvature(float(deaths @ np.log(total) - theta @ sums["events"]), gradient, hessian)


def cumulative_hazard(theta: Vector, sums: dict[str, npt.NDArray[np.float64]]) -> Vector:
    """Return Breslow's cumulative hazard of the mean row at the end of each cell: shape (j,)."""
    at_risk = np.cumsum(sums["risk"][::-1, 0])[::-1][:-1]
    return np.cumsum(np.where(sums["deaths"] > 0, sums["deaths"] / np.maximum(at_risk, 1e-300), 0.0))
