"""Which probability counts as positive: a threshold chosen by what matters, judged on other rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.command_line.aim import SAY, read_aim
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.columns.columns import Task
from runtime.tabular.uncertainty import share as interval_of_share

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

FIRST_SHARES: Final = (0.01, 0.05, 0.1)
"""Of the rows with the highest probabilities, how many of them are positive is reported."""
LEAST_OF_A_LABEL: Final = 10
"""Rows of a label in each half, for a threshold to be chosen and judged."""


@dataclass(frozen=True)
class Aim:
    """What matters to whoever acts on the model.

    Parameters
    ----------
    rate, share
        The share of positives to catch (`recall`), or of alarms that are to be true (`precision`).
    missed, alarm
        What a missed positive costs, and a false alarm, in one unit; only their ratio matters.
    """

    text: str
    rate: str | None = None
    share: float = 0.0
    missed: float = 0.0
    alarm: float = 0.0

    @classmethod
    def read(cls, text: str) -> Aim:
        """Read `recall=0.8`, `precision=0.5` or `cost=10:1`.

        Raises
        ------
        FedstackError
            With ExitCode.CONFIG, for anything else.
        """
        found = read_aim(text)
        if found is None:
            raise FedstackError(ExitCode.CONFIG, f"--threshold-for is {text!r}.", SAY)
        kind, first, second = found
        if kind == "cost":
            return cls(text.strip(), missed=first, alarm=second)
        return cls(text.strip(), kind, first)

    def threshold(self, y: Labels, probability: Probabilities) -> float | None:
        """Return the threshold that serves this aim on these rows, None where none does.

        A recall is reached with as few alarms as can be, a precision with as many true ones; of equal costs
        the highest threshold, which has fewest alarms, is taken.
        """
        ranked = np.argsort(-probability, kind="stable")
        p, hits = probability[ranked], y[ranked] == 1
        last = np.flatnonzero(np.r_[p[1:] != p[:-1], True])
        caught, alarms = np.cumsum(hits)[last], last + 1
        if self.rate == "recall":
            serves = np.flatnonzero(caught >= self.share * hits.sum() - 1e-9)
            return float(p[last[serves[0]]])
        if self.rate == "precision":
            serves = np.flatnonzero((caught >= self.share * alarms - 1e-9) & (caught > 0))
            return float(p[last[serves[-1]]]) if len(serves) else None
        costs = self.missed * (hits.sum() - caught) + self.alarm * (alarms - caught)
        if costs.min() >= self.missed * hits.sum():
            return math.nextafter(float(p[0]), math.inf)  # no alarm at all costs least
        return float(p[last[int(np.argmin(costs))]])


def check_task(asked: str | None, task: Task) -> None:
    """Refuse to choose a threshold for labels that have none.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG.
    """
    if asked is not None and task is not Task.BINARY:
        raise FedstackError(
            ExitCode.CONFIG,
            f"--threshold-for is {asked!r}, but the task of the schema is {task}: only two labels are told "
            "apart by a threshold.",
            "Leave it out.",
        )


def halves(y: Labels, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows that choose and those that judge: halves with equal shares of each label."""
    random = np.random.default_rng(seed)
    parts: tuple[list[int], list[int]] = ([], [])
    for label in (0, 1):
        rows = random.permutation(np.flatnonzero(y == label))
        parts[0].extend(rows[: len(rows) // 2].tolist())
        parts[1].extend(rows[len(rows) // 2 :].tolist())
    first, second = (np.sort(np.asarray(part, dtype=np.int64)) for part in parts)
    return first, second


def operating_point(aim: Aim, y: Labels, probability: Probabilities, seed: int) -> dict[str, Any]:
    """Choose a threshold on one half of the rows and count on the other what it gets right and wrong.

    Returns
    -------
    dict
        `for`, what was aimed at; `threshold` and `judged`, the counts and rates on the other half; or
        `missing`, why there is none.
    """
    choosing, judging = halves(y, seed)
    few = min(int(np.sum(y[half] == label)) for half in (choosing, judging) for label in (0, 1))
    if few < LEAST_OF_A_LABEL:
        why = f"a half of the test set has {few} rows of one label; {LEAST_OF_A_LABEL} are needed"
        return {"for": aim.text, "missing": why}
    threshold = aim.threshold(y[choosing], probability[choosing])
    if threshold is None:
        return {"for": aim.text, "missing": f"no threshold reaches {aim.text} on the half that chooses it"}
    return {
        "for": aim.text,
        "threshold": threshold,
        "chosen_on": len(choosing),
        "judged": counts(y[judging], probability[judging], threshold),
    }


def counts(y: Labels, probability: Probabilities, threshold: float) -> dict[str, Any]:
    """Count what a threshold gets right and wrong; a share, with its 95 % interval, of nothing is NaN."""
    alarm, positive = probability >= threshold, y == 1
    tp, fp = int(np.sum(alarm & positive)), int(np.sum(alarm & ~positive))
    fn, tn = int(np.sum(~alarm & positive)), int(np.sum(~alarm & ~positive))
    return {
        "tn": tn,
        "fp": fp,
        "fn": fn,
        "tp": tp,
        "recall": tp / (tp + fn) if tp + fn else math.nan,
        "recall_interval": interval_of_share(tp, tp + fn),
        "precision": tp / (tp + fp) if tp + fp else math.nan,
        "precision_interval": interval_of_share(tp, tp + fp),
    }


def precision_at(y: Labels, probability: Probabilities, shares: Sequence[float]) -> list[dict[str, Any]]:
    """Return how many of the first k rows by probability are positive, for k as shares of all rows.

    Rows of equal probability at the border count in proportion, so that their order does not matter.
    """
    found = []
    for share in shares:
        k = max(1, round(share * len(y)))
        border = np.sort(probability)[::-1][k - 1]
        above, at = probability > border, probability == border
        true = np.sum(y[above] == 1) + (k - np.sum(above)) * np.mean(y[at] == 1)
        told = {"share": share, "k": k, "precision": float(true / k), "lift": _lift(true / k, y)}
        found.append({**told, "interval": interval_of_share(float(true), k)})
    return found


def _lift(precision: float, y: Labels) -> float:
    return float(precision / np.mean(y == 1)) if np.any(y == 1) else math.nan


def calibration(y: Labels, probability: Probabilities, bins: int = 10) -> list[dict[str, Any]]:
    """Return what was said and what came true, in groups of equally many rows, by rising probability.

    Returns
    -------
    list of dict
        `rows`, `said` (the mean probability), `true` (the share of positives) and `interval` (95 % of that
        share); rows of equal probability are in one group.
    """
    order = np.argsort(probability, kind="stable")
    edges = np.unique(
        np.searchsorted(probability[order], np.quantile(probability, np.linspace(0, 1, bins + 1)))
    )
    edges = np.unique(np.r_[0, edges[1:-1], len(y)])
    groups = [order[a:b] for a, b in pairwise(edges) if b > a]
    return [
        {
            "rows": len(g),
            "said": float(probability[g].mean()),
            "true": float(np.mean(y[g] == 1)),
            "interval": interval_of_share(float(np.sum(y[g] == 1)), len(g)),
        }
        for g in groups
    ]
