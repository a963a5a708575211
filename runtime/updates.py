"""What a model update must look like before anybody adds it to a model, or sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_SAMPLES = 10**9

LARGEST_SUMMAND = 1e100
"""What a number of an update that is added up may be, so that no sum or product of theirs overflows."""


class UpdateRefusedError(ValueError):
    """An update that may not enter the global model; the message names the array and what is wrong."""


def check_update(update: Mapping[str, npt.NDArray[Any]], like: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse an update that has not the names, shapes and dtypes of the global model, or is not finite."""
    if set(update) != set(like):
        raise UpdateRefusedError(f"the arrays are {sorted(update)}, expected {sorted(like)}")
    for name, model in like.items():
        array = update[name]
        if array.shape != model.shape:
            raise UpdateRefusedError(f"{name!r} has shape {array.shape}, expected {model.shape}")
        if array.dtype != model.dtype:
            raise UpdateRefusedError(f"{name!r} has dtype {array.dtype}, expected {model.dtype}")
        wrong = int(np.count_nonzero(~np.isfinite(array)))
        if wrong:
            raise UpdateRefusedError(f"{name!r} has {wrong} NaN or infinite values of {array.size}")


def check_summand(update: Mapping[str, npt.NDArray[Any]], like: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse an update that is none, or after which the sum of all clients' would be no number any more."""
    check_update(update, like)
    for name, array in update.items():
        largest = max(float(array.max(initial=0.0)), -float(array.min(initial=0.0)))
        if largest > LARGEST_SUMMAND:
            raise UpdateRefusedError(f"{name!r} has a number of size {largest:.3g}, which cannot be summed")


def check_samples(samples: object) -> int:
    """Refuse a number of training rows that cannot be one: it is the update's weight in the average."""
    if type(samples) is not int or not 1 <= samples <= MAX_SAMPLES:
        raise UpdateRefusedError(
            f"num-examples is {samples!r}, expected an integer from 1 to {MAX_SAMPLES:,}"
        )
    return samples
