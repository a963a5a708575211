"""The bins that all silos share: quantiles of the pooled rows, found from counts up to points of a grid.

Standardised features need no range, so neither minimum nor maximum is told: what lies more than three
standard deviations from the mean is one cell. A cell that holds more rows than a bin should is cut again,
twice at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from runtime.tabular.trees.ensemble import Floats
from runtime.tabular.trees.histograms import Bins

REACH: Final = 3.0
FIRST_CELLS: Final = 24
AGAIN_CELLS: Final = 8
PASSES: Final = 3
OFFSET: Final = (5**0.5 - 1) / 2
"""Of the grid, in cells. Irrational, so that no value that people write down comes to lie on a point: next to
one, the last bit of a scaler that was summed in another order would decide on which side a row is."""


def count(z: Floats, grid: Sequence[Floats]) -> Floats:
    """Return how many rows are up to each point of each feature's: one vector."""
    columns = zip(np.sort(z, axis=0).T, grid, strict=True)
    counts = [np.searchsorted(column, points, side="right") for column, points in columns]
    return np.concatenate(counts).astype(np.float64)


class Sketch:
    """How many of all rows are up to each point that was asked about.

    Parameters
    ----------
    features
        How many there are.
    most
        Rows that a cell may hold before it is cut again.
    """

    def __init__(self, features: int, most: float) -> None:
        width = 2 * REACH / FIRST_CELLS
        first = -REACH + width * (np.arange(FIRST_CELLS) + OFFSET)
        self._points = [np.zeros(0) for _ in range(features)]
        self._counts = [np.zeros(0) for _ in range(features)]
        self._most, self._passes = most, 0
        self.asked: tuple[Floats, ...] = (np.asarray(first, dtype=np.float64),) * features

    def take(self, counts: Floats) -> None:
        """Take the counts for the points asked about, and choose the next ones; none when it is done."""
        parts = np.split(counts, np.cumsum([len(points) for points in self.asked])[:-1])
        for feature, (points, part) in enumerate(zip(self.asked, parts, strict=True)):
            both = np.concatenate([self._points[feature], points])
            order = np.argsort(both)
            self._points[feature] = both[order]
            self._counts[feature] = np.concatenate([self._counts[feature], part])[order]
        self._passes += 1
        done = self._passes >= PASSES
        self.asked = tuple(
            np.zeros(0) if done else self._within(feature) for feature in range(len(self._points))
        )

    def to_config(self) -> dict[str, Any]:
        """Return the settings that travel."""
        sizes = [len(points) for points in self.asked]
        return {"bin-grid": np.concatenate(self.asked).tolist(), "bin-grid-counts": sizes}

    def count(self, z: Floats) -> Floats:
        """Return how many of some rows are up to each point that is asked about."""
        return count(z, self.asked)

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask."""
        return not any(map(len, self.asked))

    def _within(self, feature: int) -> Floats:
        """Return points inside the cells that hold too many rows; the two ends have no width to cut."""
        points, counts = self._points[feature], self._counts[feature]
        heavy = np.flatnonzero(np.diff(counts) > self._most)
        steps = (np.arange(AGAIN_CELLS - 1) + OFFSET) / (AGAIN_CELLS - 1)
        inside = points[heavy, None] + (points[heavy + 1] - points[heavy])[:, None] * steps
        return np.asarray(inside.ravel())

    def bins(self, most: int, rows: int, least: int) -> Bins:
        """Return at most so many bins a feature, each of about as many rows, and of no fewer than `least`."""
        targets = rows * np.arange(1, most) / most
        edges = []
        for points, counts in zip(self._points, self._counts, strict=True):
            nearest = np.unique(np.abs(counts[:, None] - targets).argmin(axis=0))
            kept, below = list[float](), 0.0
            for place in nearest:
                if counts[place] - below >= least and rows - counts[place] >= least:
                    kept.append(float(points[place]))
                    below = counts[place]
            edges.append(np.array(kept))
        return Bins(tuple(edges))
