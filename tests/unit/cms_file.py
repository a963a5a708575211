"""The CMS file where this machine has it, and the stand-in where it does not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from runtime.task.data import Dataset, load_csv
from runtime.task.schema import CMS, Schema
from runtime.task.standin import generate

CMS_FILE = Path(__file__).parents[3] / "shared/data/cms/processed_data_classification_v2.csv"


@cache
def providers() -> Dataset:
    """5,500 providers, 38 of them duplicates; real if possible."""
    return load_csv(CMS_FILE, CMS) if CMS_FILE.exists() else generate(seed=4)


def plain(features: int) -> Schema:
    """Return a schema of so many features, log1p taken of each."""
    return Schema("plain", "y", tuple(f"x{number}" for number in range(features)))


def table(x: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> Dataset:
    """Return rows of any width as a data set."""
    return Dataset(x, y, plain(x.shape[1]))


def row_set(dataset: Dataset) -> set[bytes]:
    return {row.tobytes() for row in np.ascontiguousarray(dataset.x)}
