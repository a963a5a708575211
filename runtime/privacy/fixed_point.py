"""Numbers as integers modulo 2^64, whose sums wrap around and so can be masked without a trace."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.contract import ExitCode, FedstackError

FRACTION_BITS: Final = 30
"""Every number is a multiple of 2^-30, about 1e-9, and a sum is exact up to half of that for each term."""

Words = npt.NDArray[np.uint64]
Vector = npt.NDArray[np.float64]


def encode(values: Vector, parties: int) -> Words:
    """Encode numbers that so many parties add up, without the sum leaving the range of +-2^33.

    Raises
    ------
    FedstackError
        For a number that is not finite or too large: what the server's guard would say, here on the client,
        since nobody can look at what is masked.
    """
    largest = 2.0 ** (63 - FRACTION_BITS) / parties - 1.0
    wrong = ~(np.abs(values) <= largest)  # NaN compares false
    if wrong.any():
        raise FedstackError(
            ExitCode.SECURE_AGGREGATION,
            f"{int(wrong.sum())} of {values.size} numbers are NaN or beyond +-{largest:.4g}, which {parties} "
            "clients could not add up.",
            "Check the data for extreme values; or run without secure aggregation.",
        )
    return np.rint(values * 2.0**FRACTION_BITS).astype(np.int64).view(np.uint64)


def decode(total: Words) -> Vector:
    """Return the numbers that a sum of encoded ones stands for."""
    return total.view(np.int64).astype(np.float64) / 2.0**FRACTION_BITS
