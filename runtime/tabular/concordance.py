"""Harrell's C: how often, of two rows of which the earlier has an event, that one has more hazard."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def concordance(y: Values, hazard: Values) -> float:
    """Return the share of comparable pairs that are in the right order, ties in hazard counting half.

    Parameters
    ----------
    y
        Shape (n,): the time, below zero where it was censored.
    hazard
        Shape (n,): what the model said; NaN comes out where no two rows can be compared.
    """
    right, pairs = pairs_of_each(y, hazard)
    return float(right.sum() / pairs.sum()) if pairs.any() else float("nan")


def pairs_of_each(y: Values, hazard: Values) -> tuple[Values, Values]:
    """Return in how many pairs each row can be compared, and how many of them are in the right order.

    A row with an event is compared with those that outlast it. In n log² n: two rows' ranks in time differ
    first in one bit, from the highest on, and are counted there, all pairs of that bit with one search in
    sorted hazards.
    """
    event = y > 0
    time = _ranks(np.abs(y)) * 2 + ~event  # of one time, events come before those who were only seen so far
    strength = _ranks(hazard)
    size = int(strength.max(initial=0)) + 1
    right, pairs = np.zeros(len(y)), np.zeros(len(y))
    for bit in range(int(time.max(initial=0)).bit_length()):
        block = (time >> (bit + 1)) * size
        place, later = block + strength, (time >> bit & 1).astype(bool)
        first = event & ~later
        less, equal, of = _counted(place[later], place[first], block[first], size)
        pairs[first] += of
        right[first] += less + equal / 2
        less, equal, of = _counted(place[first], place[later], block[later], size)
        pairs[later] += of
        right[later] += of - less - equal / 2
    return right, pairs


def _ranks(values: Values) -> npt.NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _counted(among: Any, place: Any, block: Any, size: int) -> tuple[Values, Values, Values]:
    """Return, for each place, how many others of its block have less, as much, and are there at all."""
    ordered = np.sort(among)
    edges = (block, place, place + 1, block + size)
    start, low, high, end = (np.searchsorted(ordered, edge) for edge in edges)
    return low - start, high - low, end - start
