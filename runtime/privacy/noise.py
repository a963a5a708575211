"""Gaussian noise that nobody can predict."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Source = Callable[[int], bytes]
"""Gives so many random bytes; `os.urandom` but in tests."""

GRID_BITS = 20


def add(
    values: npt.NDArray[np.float64], sigma: float, source: Source = os.urandom
) -> npt.NDArray[np.float64]:
    """Return the values with independent Gaussian noise of standard deviation sigma, on a coarse grid.

    The noise is the normal quantile of 53 bits of the operating system's generator. The sum is rounded to a
    multiple of about sigma / 2^20, because the low bits of a floating-point sum can tell what was added to
    the noise (Mironov, "On significance of the least significant bits for differential privacy", CCS 2012;
    Jin et al., "Are we there yet? Timing and floating-point attacks on differential privacy systems", S&P
    2022): every value of the grid is reached from all inputs. That blunts those attacks; it is no proof for
    floating-point numbers.
    """
    draws = np.frombuffer(source(8 * values.size), dtype="<u8") >> np.uint64(11)
    normal = ndtri((draws.astype(np.float64) + 0.5) * 2.0**-53).reshape(values.shape)
    step = 2.0 ** (np.floor(np.log2(sigma)) - GRID_BITS)  # a power of two: rounding to it is exact
    return np.asarray(np.round((values + sigma * normal) / step) * step, dtype=np.float64)
