"""What may be said of a difference between two models: better or worse only beyond chance."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from runtime.server.report.charts import finite
from runtime.tabular.task_scores import SCORES

LOWER: Final = frozenset(name for task in SCORES.values() for name, one in task.items() if one.lower) | {
    "brier"
}
"""Scores of which less is better."""


class Claim(StrEnum):
    """What a difference says of the federated model."""

    BETTER = "better"
    WORSE = "worse"
    CHANCE = "within chance"
    UNKNOWN = "nobody can tell"


def claim(found: Mapping[str, Any] | None, score: str) -> Claim:
    """Return what a difference, federated minus another, says: nothing while its interval touches zero.

    Parameters
    ----------
    found
        `low` and `high`, the ends of its interval.
    """
    low, high = (finite((found or {}).get(end)) for end in ("low", "high"))
    if low is None or high is None:
        return Claim.UNKNOWN
    up = low > 0 and high > 0
    down = low < 0 and high < 0
    if not up and not down:
        return Claim.CHANCE
    return Claim.BETTER if up != (score in LOWER) else Claim.WORSE


def said(found: Mapping[str, Any], score: str) -> str:
    """Say a difference with its interval, and what it is worth."""
    known = finite(found.get("difference"))
    if known is None:
        return Claim.UNKNOWN.value
    judged = claim(found, score)
    if judged is Claim.UNKNOWN:
        return f"{signed(known)}, too few rows for an interval"
    return f"{signed(known)} (95\u00a0% {signed(found['low'])} to {signed(found['high'])}), {judged.value}"


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign; what would be shown as zero has none."""
    shown = f"{value:+.{digits}f}"
    return (f"{0:.{digits}f}" if float(shown) == 0 else shown).replace("-", "\u2212")
