"""Gradient boosting that asks for sums over rows, whosever they are, and grows trees from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.tabular.trees import ensemble
from runtime.tabular.trees.ensemble import Arrays
from runtime.tabular.trees.growth import Forest
from runtime.tabular.trees.histograms import UNIT, WEIGHT_OF_ROW, Bins, Question, Whole
from runtime.tabular.trees.sketch import Sketch

Sums = Mapping[str, npt.NDArray[Any]]

STEPS_A_ROUND: Final = 3
PLANNED_STEPS: Final = 30
"""Steps that the numbers which may leave must suffice for, where they can."""

MOST_TREES: Final = 8
"""Trees of a step at most: their mean is one step, and each has other features."""

SHARE_OF_FEATURES: Final = 0.12
FEWEST_FEATURES: Final = 4


class Boosting:
    """Boost trees from sums.

    First come counts up to points of a grid, which the bins are chosen by; then steps, each the mean of some
    trees that grow side by side, a question for each of their levels.

    Parameters
    ----------
    penalty
        L2 penalty on leaves.
    eta
        Part of its own best step that a step goes.
    min_rows
        Rows that a leaf has at least.
    bins
        Bins of a feature at most; half as many where few rows let few numbers leave.
    limited
        Whether no more numbers are asked for than the rows have cells, as a client's default policy wants it.
    """

    def __init__(self, penalty: float, eta: float, min_rows: int, bins: int, *, limited: bool = True) -> None:
        self._penalty, self._eta, self._min_rows, self._most_bins = penalty, eta, min_rows, bins
        self._limited = limited
        self._sketch: Sketch | None = None
        self.bins: Bins | None = None
        self._forest: Forest | None = None
        self._trees, self._spent, self.steps = 1, 0, 0
        self._rows, self._features, self._seed = 0, 0, 0
        self.arrays: Arrays = ensemble.empty(0.0)

    def begin(self, rows: int, features: int, seed: int, arrays: Arrays | None = None) -> None:
        """Say how many rows there are, and with which trees to go on."""
        self._rows, self._features, self._seed = rows, features, seed
        if arrays is not None:
            self.arrays = arrays

    @property
    def spent(self) -> bool:
        """Whether the numbers of another step would be more than may leave."""
        return self._limited and self.bins is not None and self._left() < self._numbers(self._trees)

    @property
    def between_steps(self) -> bool:
        """Whether no step is half done."""
        return self.bins is not None and self._forest is None

    def question(self) -> tuple[Sketch, None] | tuple[None, Question]:
        """Return what to ask next: counts for the sketch's points, or histograms."""
        if self.bins is None:
            self._sketch = self._sketch or Sketch(self._features, self._rows / self._most_bins)
            return self._sketch, None
        self._forest = self._forest or self._next_forest()
        return None, self._forest.question()

    def sizes(self) -> dict[str, int]:
        """Return how long each array of an answer to the question is."""
        sketch, question = self.question()
        if sketch is not None:
            return {"counts": sum(map(len, sketch.asked)), "positives": 1}
        assert question is not None  # noqa: S101 - one of them is asked
        assert self.bins is not None  # noqa: S101 - the bins come first
        return dict.fromkeys(("gradients", "weights"), question.size(self.bins))

    def take(self, sums: Sums) -> None:
        """Take the sums that were asked for."""
        self._spent += 1 + sum(len(array) for array in sums.values())
        if self.bins is None:
            self._take_counts(sums)
        else:
            self._take_histograms(sums)

    def _take_counts(self, sums: Sums) -> None:
        """Take counts up to the grid's points; with the last of them choose the bins."""
        assert self._sketch is not None  # noqa: S101 - it was asked
        self._sketch.take(sums["counts"])
        positives = float(sums["positives"][0])
        self.arrays = ensemble.empty(math.log((positives + 0.5) / (self._rows - positives + 0.5)))
        if self._sketch.done:
            self._plan(self._sketch)

    def _plan(self, sketch: Sketch) -> None:
        """Choose bins, and the most trees of a step, with which the planned steps are few enough numbers."""
        for most in (self._most_bins, max(2, self._most_bins // 2)):
            self.bins = sketch.bins(most, self._rows, self._min_rows)
            counts = range(1, MOST_TREES + 1)
            fit = [k for k in counts if not self._limited or PLANNED_STEPS * self._numbers(k) <= self._left()]
            self._trees = max(fit, default=1)
            if self._trees > 1:
                return

    def _left(self) -> float:
        """Return how many numbers may still leave."""
        return self._rows * (self._features + 1) - self._spent

    def _numbers(self, trees: int) -> int:
        """Return how many numbers a step of so many trees is at most: gradients, Hessians, three losses."""
        assert self.bins is not None  # noqa: S101 - the bins come first
        sizes = np.sort([len(edges) for edges in self.bins.edges])[::-1]
        one, roots = sizes[: self._width].sum(), sizes[: trees * self._width].sum()
        return int(2 * (1 + roots + 3 * trees * one) + 3)

    @property
    def _width(self) -> int:
        return min(self._features, max(FEWEST_FEATURES, math.ceil(SHARE_OF_FEATURES * self._features)))

    def _next_forest(self) -> Forest:
        """Draw each tree's features, the same in every run of a seed."""
        rng = np.random.default_rng([self._seed, self.steps])
        drawn = [np.sort(rng.permutation(self._features)[: self._width]) for _ in range(self._trees)]
        least = math.ceil(self._min_rows * WEIGHT_OF_ROW)
        return Forest(np.array(drawn, dtype=np.int64), self._penalty, least)

    def _take_histograms(self, sums: Sums) -> None:
        """Grow the trees by a level; with the last one add them to the model."""
        assert self._forest is not None  # noqa: S101 - it was asked
        assert self.bins is not None  # noqa: S101
        self._forest.take(_units(sums["gradients"]), _units(sums["weights"]), self.bins)
        if self._forest.grown:
            self.arrays = ensemble.add(self.arrays, *self._forest.trees(self.bins, self._eta / self._trees))
            self._forest, self.steps = None, self.steps + 1

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is needed to go on between two steps, the trees aside."""
        assert self.bins is not None  # noqa: S101 - a round ends after a step
        return {
            "edges": np.concatenate([*self.bins.edges, np.zeros(0)]),
            "sizes": np.array([len(edges) for edges in self.bins.edges], dtype=np.int64),
            "counts": np.array([self._trees, self._spent, self.steps], dtype=np.int64),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        self.bins = Bins(tuple(np.split(state["edges"], np.cumsum(state["sizes"])[:-1])))
        self._trees, self._spent, self.steps = map(int, state["counts"])


def _units(sums: npt.NDArray[np.float64]) -> Whole:
    return np.rint(sums / UNIT).astype(np.int64)
