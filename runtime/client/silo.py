"""The client's own data: loaded once, prepared once, never sent."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from runtime.contract import ExitCode, FedstackError
from runtime.task.data import Dataset, load_csv
from runtime.task.preparation import Prepared, prepare
from runtime.task.schema import CMS


@lru_cache(maxsize=8)
def load(place: str) -> Dataset:
    """Load a CSV file, or all CSV files of a folder as one data set (a channel may hold several)."""
    path = Path(place)
    if not path.is_dir():
        return load_csv(path, CMS)
    files = sorted(path.glob("*.csv"))
    if not files:
        raise FedstackError(
            ExitCode.DATA,
            f"There is no .csv file in {place}, only {sorted(p.name for p in path.iterdir())}.",
            "Put the silo's rows there as one or more .csv files.",
        )
    parts = [load_csv(file, CMS) for file in files]
    return Dataset(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))


@lru_cache(maxsize=8)
def prepared(place: str, validation: float, smote: bool, seed: int) -> Prepared:
    """Load and prepare a silo; the same arguments give the same rows in every round."""
    return prepare(load(place), validation=validation, smote=smote, seed=seed)
