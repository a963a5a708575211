"""Numbers as integers of several 64-bit words, whose sums wrap around and so can be masked without a trace.

Half of an integer's words stand before the point and half behind it, so a sum is exact at every scale that
the words cover: no scale has to be agreed on, which would itself tell something of the data.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
"""Integers modulo 2^(64 w): shape (w, n), the least significant word first."""

Vector = npt.NDArray[np.float64]

WORDS: Final = 2
"""Of an update: multiples of 2^-64, about 5e-20, up to 9e18."""

WIDE_WORDS: Final = 6
"""Of sums over raw features and their squares: multiples of 2^-192, up to 3e57."""

BLOCK: Final = 1 << 15
"""Numbers that are added at once."""

_BASE: Final = 2.0**64
_LIMB: Final = np.uint64(2**32 - 1)


class RangeError(ValueError):
    """A number that cannot be summed: NaN, infinite or too large; its argument is the place in the vector."""


def encode(values: Vector, words: int, parties: int) -> Words:
    """Encode numbers that so many parties add up.

    Raises
    ------
    RangeError
        For the first number that is not finite, or with which the sum could leave the range.
    """
    largest = 2.0 ** (32 * words - 1) / parties - 1.0
    wrong = np.flatnonzero(~(np.abs(values) <= largest))  # NaN compares false
    if len(wrong):
        raise RangeError(int(wrong[0]))
    rest = np.abs(values) / _BASE ** (words // 2 - 1)
    magnitude = np.empty((words, len(values)), dtype=np.uint64)
    for place in reversed(range(words)):
        whole = np.floor(rest)  # scaling by a power of two, floor and their difference are exact
        magnitude[place] = whole.astype(np.uint64)
        rest = (rest - whole) * _BASE
    return np.where(values < 0, negative(magnitude), magnitude)


def decode(total: Words) -> Vector:
    """Return the numbers that a sum of encoded ones stands for."""
    words = len(total)
    below = total[-1].view(np.int64) < 0
    magnitude = np.where(below, negative(total), total)
    scale = _BASE ** (np.arange(words) - words // 2)
    value = sum(magnitude[place].astype(np.float64) * scale[place] for place in range(words))
    return np.where(below, -value, value)  # type: ignore[no-any-return]


def add(one: Words, other: Words) -> Words:
    """Return the sum, modulo 2^(64 w)."""
    total = one + other
    carry = total < one
    for place in range(1, len(total)):
        total[place] += carry[place - 1]
        carry[place] |= carry[place - 1] & (total[place] == 0)
    return total


def add_to(total: Words, other: Words) -> None:
    """Add to a sum where it stands, in no more memory than a block of it takes."""
    for at in range(0, total.shape[1], BLOCK):
        total[:, at : at + BLOCK] = add(total[:, at : at + BLOCK], other[:, at : at + BLOCK])


def multiply(one: Words, factors: npt.NDArray[np.int64]) -> Words:
    """Return each number times a whole number of its own, at least 0, modulo 2^(64 w)."""
    low, high = factors.astype(np.uint64) & _LIMB, factors.astype(np.uint64) >> np.uint64(32)
    total = np.zeros_like(one)
    limbs = [half for word in one for half in (word & _LIMB, word >> np.uint64(32))]
    for place, limb in enumerate(limbs):
        for shift, factor in ((0, low), (1, high)):
            total = add(total, _placed(limb * factor, place + shift, one.shape))
    return total


def _placed(value: npt.NDArray[np.uint64], place: int, shape: tuple[int, ...]) -> Words:
    """Return a 64-bit number at the place of a 32-bit limb; what is beyond the last word falls off."""
    words = np.zeros(shape, dtype=np.uint64)
    word, odd = divmod(place, 2)
    if word < shape[0]:
        words[word] = value << np.uint64(32) if odd else value
    if odd and word + 1 < shape[0]:
        words[word + 1] = value >> np.uint64(32)
    return words


def negative(one: Words) -> Words:
    """Return what adds up to zero with it."""
    unit = np.zeros_like(one)
    unit[0] = 1
    return add(~one, unit)
