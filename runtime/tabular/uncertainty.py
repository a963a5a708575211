"""How sure a figure is: bootstrap intervals over the scored rows, and differences on the same resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

LEVEL: Final = 0.95
RESAMPLES: Final = 1000
_CELLS: Final = 2_000_000
"""Weights that are held at a time: resamples by rows."""

Floats = npt.NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""From weights (resamples, rows), how often each row was drawn, to a score each; NaN where undefined."""


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
    """Resamples of the rows, drawn once, so that all models are scored on the same ones.

    Parameters
    ----------
    rows
        How many rows were scored.
    seed
        Same seed, same intervals.
    """

    def __init__(self, rows: int, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self._rows, self._seed, self._resamples = rows, seed, resamples

    def scores(self, score: Score) -> Floats:
        """Return a score of each resample, shape (resamples,)."""
        if not self._rows:
            return np.full(self._resamples, np.nan)
        return np.concatenate([score(weights) for weights in self._weights()])

    def interval(self, score: Score) -> Interval | None:
        """Return a score's interval, or None where it is not defined in one resample of twenty or more."""
        return between(self.scores(score))

    def _weights(self) -> Iterator[Floats]:
        drawn, at_once = np.random.default_rng(self._seed), max(1, _CELLS // self._rows)
        for start in range(0, self._resamples, at_once):
            count = min(at_once, self._resamples - start)
            picks = drawn.integers(0, self._rows, (count, self._rows))
            picks += self._rows * np.arange(count)[:, None]
            weights = np.bincount(picks.ravel(), minlength=count * self._rows)
            yield weights.reshape(count, self._rows).astype(np.float64)


def between(scores: Floats) -> Interval | None:
    """Return where the middle of the scores lies; None where more than one of twenty is undefined."""
    known = scores[np.isfinite(scores)]
    if not len(known) or len(known) < LEVEL * len(scores):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def mean_of(values: Floats) -> Score:
    """Return the score that is a mean over rows: a loss, whether the guess was right, a squared error."""
    return lambda weights: np.asarray(weights @ values / weights.sum(axis=1))


class Ranking:
    """The areas under the ROC and precision-recall curves of one ranking, of any number of resamples at once.

    Rows of equal probability are one step of both curves, as in scikit-learn.

    Parameters
    ----------
    positive
        Whether each row is positive, shape (rows,).
    probability
        Of the positive label, shape (rows,).
    """

    def __init__(self, positive: npt.NDArray[np.bool_], probability: Floats) -> None:
        self._order = np.argsort(-probability, kind="stable")
        ranked = probability[self._order]
        self._steps = (
            np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.zeros(0, int)
        )
        self._positive = positive[self._order].astype(np.float64)

    def roc_auc(self, weights: Floats) -> Floats:
        """Return the area under the ROC curve of each resample; NaN where one label is missing."""
        positives, negatives = self._by_step(weights)
        above = np.cumsum(positives, axis=1) - positives / 2
        with np.errstate(invalid="ignore"):
            ordered = np.sum(negatives * above, axis=1)
            return np.asarray(ordered / (positives.sum(axis=1) * negatives.sum(axis=1)))

    def pr_auc(self, weights: Floats) -> Floats:
        """Return the average precision of each resample; NaN without a positive row."""
        positives, negatives = self._by_step(weights)
        caught = np.cumsum(positives, axis=1)
        alarms = caught + np.cumsum(negatives, axis=1)
        with np.errstate(invalid="ignore"):
            precision = np.where(alarms > 0, caught / np.maximum(alarms, 1), 0)
            return np.asarray(np.sum(positives * precision, axis=1) / positives.sum(axis=1))

    def _by_step(self, weights: Floats) -> tuple[Floats, Floats]:
        ranked = weights[:, self._order]
        positives = np.add.reduceat(ranked * self._positive, self._steps, axis=1)
        return positives, np.add.reduceat(ranked, self._steps, axis=1) - positives


class BinaryScores:
    """The scores of one model's probabilities on rows of two labels, each as a function of the weights."""

    def __init__(self, y: npt.NDArray[np.int64], probability: Floats) -> None:
        self._y, self._probability = y, np.asarray(probability, dtype=np.float64)

    @cached_property
    def all(self) -> dict[str, Score]:
        """Return every score by its name in report.json."""
        ranking = Ranking(self._y == 1, self._probability)
        tiny = np.finfo(np.float64).eps
        inside = np.clip(self._probability, tiny, 1 - tiny)
        return {
            "roc_auc": ranking.roc_auc,
            "pr_auc": ranking.pr_auc,
            "log_loss": mean_of(-np.where(self._y == 1, np.log(inside), np.log1p(-inside))),
            "brier": mean_of((self._probability - self._y) ** 2),
            "accuracy": mean_of(((self._probability >= 0.5) == (self._y == 1)).astype(np.float64)),
        }
