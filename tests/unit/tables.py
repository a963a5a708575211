"""Small tables for tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.schema import Schema


def plain(features: int) -> Schema:
    """Return a schema of so many features, log1p taken of each."""
    return Schema("plain", "y", tuple(f"x{number}" for number in range(features)))


def table(x: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> Dataset:
    """Return rows of any width as a data set."""
    return Dataset(x, y, plain(x.shape[1]))


def row_set(dataset: Dataset) -> set[bytes]:
    return {row.tobytes() for row in np.ascontiguousarray(dataset.x)}
