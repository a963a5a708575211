"""Means and sums that grow by one update at a time, in memory of one update.

Floating-point sums depend on their order. Whoever adds here does so in one order, whoever was faster
(docs/adr/0070).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord

Numbers = npt.NDArray[Any]

BLOCK: Final = 1 << 16
"""Numbers that are worked on at once: what is computed in between stays as small, and in the cache."""


class Running:
    """What a strategy makes of updates, so far.

    Attributes
    ----------
    weight
        The sum of the updates' weights.
    """

    def __init__(self) -> None:
        self.weight = 0
        self._so_far: dict[str, Numbers] = {}

    def take(self, arrays: Mapping[str, Numbers], weight: int) -> None:
        """Add an update, of the same names, shapes and dtypes as those before it."""
        self.weight += weight
        step = self._step(weight)
        for name, array in arrays.items():
            if name not in self._so_far:
                self._so_far[name] = np.array(array, dtype=self._dtype(array), order="C")
            else:
                so_far, new = self._so_far[name].reshape(-1), np.ascontiguousarray(array).reshape(-1)
                for at in range(0, len(new), BLOCK):
                    step(so_far[at : at + BLOCK], new[at : at + BLOCK])

    def record(self) -> ArrayRecord:
        """Return it as Flower has it, and let go of it."""
        names = list(self._so_far)
        return ArrayRecord({name: Array(self._so_far.pop(name)) for name in names})

    def _dtype(self, array: Numbers) -> np.dtype[Any]:
        return array.dtype

    def _step(self, weight: int) -> Callable[[Numbers, Numbers], None]:
        raise NotImplementedError


class RunningSum(Running):
    """The sum of updates."""

    def _step(self, weight: int) -> Callable[[Numbers, Numbers], None]:  # noqa: ARG002 - a sum has no weights
        def step(so_far: Numbers, new: Numbers) -> None:
            so_far += new

        return step


class RunningMean(Running):
    """The mean of updates by their weights, as Flower's FedAvg takes it; no number leaves their range."""

    def _dtype(self, array: Numbers) -> np.dtype[Any]:
        return np.result_type(array.dtype, 0.0)

    def _step(self, weight: int) -> Callable[[Numbers, Numbers], None]:
        part = weight / self.weight

        def step(so_far: Numbers, new: Numbers) -> None:
            np.multiply(so_far, 1.0 - part, out=so_far)
            so_far += new * part

        return step
