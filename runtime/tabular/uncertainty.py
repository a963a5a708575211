"""How sure a figure is: bootstrap intervals over the scored rows, and differences on the same resamples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

LEVEL: Final = 0.95
RESAMPLES: Final = 1000
FEWEST_RESAMPLES: Final = 200
SAME: Final = 1e-5
_ALL_CELLS: Final = 2_500_000
"""Rows drawn in all: beyond 2,500 scored rows fewer resamples are made, so that they cost no more CPU."""
_CELLS: Final = 1_000_000
"""Weights that are held at a time: resamples by rows."""

Floats = npt.NDArray[np.float64]
Scores = Callable[[Floats], dict[str, Floats]]
"""From weights (resamples, rows), how often each row was drawn, to each score of each; NaN: undefined."""


@dataclass(frozen=True)
class Interval:
    """Where the middle 95 % of a figure's resamples lie."""

    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether all of it is above zero: a difference that chance does not explain."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether all of it is below zero."""
        return self.high < 0


class Bootstrap:
    """Resamples of the rows: the same ones for every model, so that differences are paired.

    Parameters
    ----------
    rows
        How many rows were scored.
    seed
        Same seed, same intervals.
    """

    def __init__(self, rows: int, seed: int = 0) -> None:
        self._rows, self._seed = rows, seed
        self.resamples = max(FEWEST_RESAMPLES, min(RESAMPLES, _ALL_CELLS // max(1, rows)))

    def scores(self, scores: Scores) -> dict[str, Floats]:
        """Return each score of each resample, shape (resamples,)."""
        return self.each([scores])[0]

    def each(self, models: Sequence[Scores]) -> list[dict[str, Floats]]:
        """Return the scores of several models, each on the same resamples, which are drawn once."""
        drawn = [[scores(weights) for scores in models] for weights in self._weights()]
        if not drawn:
            return [{} for _ in models]
        return [
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            for parts in zip(*drawn, strict=True)
        ]

    def intervals(self, scores: Scores) -> dict[str, dict[str, float]]:
        """Return the interval of each score that has one, as report.json has it."""
        found = {name: between(values) for name, values in self.scores(scores).items()}
        return {name: asdict(one) for name, one in found.items() if one is not None}

    def _weights(self) -> Iterator[Floats]:
        if not self._rows:
            return
        drawn, at_once = np.random.default_rng(self._seed), max(1, _CELLS // self._rows)
        for start in range(0, self.resamples, at_once):
            picks = drawn.integers(0, self._rows, (min(at_once, self.resamples - start), self._rows))
            weights = np.empty(picks.shape)
            for place, one in enumerate(picks):
                weights[place] = np.bincount(one, minlength=self._rows)
            yield weights


def between(scores: Floats) -> Interval | None:
    """Return where the middle of the scores lies; None where more than one of twenty is undefined."""
    known = scores[np.isfinite(scores)]
    if not len(known) or len(known) < LEVEL * len(scores):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def difference(first: Floats, second: Floats) -> dict[str, float | None]:
    """Return the interval of a difference on the same resamples; None for its ends where it has none.

    What differs by less than a hundred thousandth is the same figure twice: two solvers end that far apart.
    """
    apart, size = first - second, np.maximum(np.abs(first), np.abs(second))
    found = between(np.where(np.abs(apart) <= SAME * size, 0.0, apart))
    return {"low": None, "high": None} if found is None else asdict(found)


def share(hits: float, of: float) -> dict[str, float]:
    """Return Wilson's interval of a share (Brown, Cai and DasGupta, 2001): it holds for few rows, too."""
    if not of:
        return {"low": math.nan, "high": math.nan}
    z2, p = 1.959964**2, hits / of
    middle, away = p + z2 / (2 * of), math.sqrt(z2 * (p * (1 - p) / of + z2 / (4 * of**2)))
    low, high = (middle - away) / (1 + z2 / of), (middle + away) / (1 + z2 / of)
    return {"low": max(0.0, low), "high": min(1.0, high)}


class Ranking:
    """The areas under the ROC and precision-recall curves of one ranking, of any number of resamples at once.

    Rows of equal probability are one step of both curves, as in scikit-learn. Only steps with a positive row
    add to either area, so that all others are passed over in one cumulative sum.

    Parameters
    ----------
    positive
        Whether each row is positive, shape (rows,).
    probability
        Of the positive label, shape (rows,).
    """

    def __init__(self, positive: npt.NDArray[np.bool_], probability: Floats) -> None:
        self._order = np.argsort(-probability, kind="stable")
        ranked, hit = probability[self._order], positive[self._order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]][: len(ranked)])
        step = np.searchsorted(starts, np.flatnonzero(hit), side="right") - 1  # of each positive row
        self._rows_up, self._steps = np.flatnonzero(hit), np.unique(step)
        self._first_of_step = np.searchsorted(step, self._steps)
        self._start, self._end = starts[self._steps], np.r_[starts, len(ranked)][self._steps + 1]

    def areas(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return both areas of each resample; NaN where a label, or for the second a positive, is missing."""
        if not len(self._steps):
            return np.full(len(weights), np.nan), np.full(len(weights), np.nan)
        ranked = weights[:, self._order]
        before = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(ranked, axis=1)], axis=1)
        hits = np.add.reduceat(ranked[:, self._rows_up], self._first_of_step, axis=1)
        caught, alarms = np.cumsum(hits, axis=1), before[:, self._end]
        misses = alarms - before[:, self._start] - hits  # negatives of the same steps
        above = alarms - caught - misses / 2
        positives = caught[:, -1]
        negatives = before[:, -1] - positives
        with np.errstate(invalid="ignore", divide="ignore"):
            roc = 1 - np.sum(hits * above, axis=1) / (positives * negatives)
            precision = caught / np.maximum(alarms, 1)
            return roc, np.sum(hits * precision, axis=1) / positives


def means(weights: Floats, *values: Any) -> list[Floats]:
    """Return the weighted mean of each array of values, shape (resamples,) each."""
    total = weights.sum(axis=1)
    return [np.asarray(found / total) for found in (weights @ np.column_stack(values)).T]
