"""The one vector that a masked answer is: rows, their loss, and the arrays, each symmetric one once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.messages import MessageType
from runtime.privacy.fixed_point import WIDE_WORDS, WORDS, Vector

Arrays = Mapping[str, npt.NDArray[Any]]

AVERAGED: Final = frozenset({MessageType.TRAIN, MessageType.TRAIN_PRIVATE})
"""Answers whose arrays are weighted by their rows, as strategies do; the others are sums already."""

SYMMETRIC: Final = frozenset({"hessian"})
"""Arrays of which the upper triangle says all."""


@dataclass(frozen=True, eq=False)
class SummedVector:
    """What the members' answers add up to.

    Parameters
    ----------
    rows
        How many rows.
    loss
        The sum of their losses; 0 where none was told.
    arrays
        The sums of the arrays; for averaged ones their mean over all rows.
    """

    rows: float
    loss: float
    arrays: dict[str, npt.NDArray[np.float64]]


def words_of(kind: str) -> int:
    """Return how wide the numbers of an answer are: raw features have any scale."""
    return WIDE_WORDS if kind in (MessageType.FEATURE_SUMS, MessageType.FEATURE_SQUARES) else WORDS


def pack(kind: str, arrays: Arrays, rows: float, mean_loss: float) -> Vector:
    """Return an answer as the vector that is summed.

    Parameters
    ----------
    mean_loss
        Mean loss per row.
    """
    weight = rows if kind in AVERAGED else 1.0
    parts = [np.array([rows, rows * mean_loss])]
    for name, array in arrays.items():
        parts.append(weight * np.asarray(_packed(name, array), dtype=np.float64))
    return np.concatenate(parts)


def size(like: Arrays) -> int:
    """Return how long the vector of answers with such arrays is."""
    return 2 + sum(_length(name, array) for name, array in like.items())


def unpack(kind: str, total: Vector, like: Arrays) -> SummedVector:
    """Return the sum that a vector stands for, given arrays of the names and shapes of an answer."""
    rows, loss = float(total[0]), float(total[1])
    scale = 1.0 / rows if kind in AVERAGED and rows else 1.0
    arrays, place = {}, 2
    for name, array in like.items():
        length = _length(name, array)
        part = total[place : place + length] * scale
        place += length
        if name in SYMMETRIC:
            full = np.zeros(array.shape)
            full[np.triu_indices(len(full))] = part
            arrays[name] = full + np.triu(full, 1).T
        else:
            arrays[name] = part.reshape(array.shape)
    return SummedVector(rows, loss, arrays)


def _length(name: str, array: npt.NDArray[Any]) -> int:
    return len(array) * (len(array) + 1) // 2 if name in SYMMETRIC else array.size


def _packed(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    packed: npt.NDArray[Any] = array[np.triu_indices(len(array))] if name in SYMMETRIC else array.ravel()
    return packed
