"""The client's own data: loaded once, prepared once, never sent."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from runtime.contract import ExitCode, FedstackError
from runtime.task.data import Dataset, load_csv, together
from runtime.task.preparation import Prepared, prepare
from runtime.task.schema import schema_of


@lru_cache(maxsize=8)
def load(place: str) -> Dataset:
    """Load a CSV file, or all CSV files of a folder as one data set (a channel may hold several)."""
    path = Path(place)
    schema = schema_of(path)
    if not path.is_dir():
        return load_csv(path, schema, both_labels=False)
    files = sorted(path.glob("*.csv"))
    if not files:
        raise FedstackError(
            ExitCode.DATA,
            f"There is no .csv file in {place}, only {sorted(p.name for p in path.iterdir())}.",
            "Put the silo's rows there as one or more .csv files.",
            public="There is no .csv file where its data should be.",
        )
    return together([load_csv(file, schema, both_labels=False) for file in files])


@lru_cache(maxsize=8)
def prepared(place: str, validation: float, smote: bool, seed: int) -> Prepared:
    """Load and prepare a silo; the same arguments give the same rows in every round."""
    return prepare(load(place), validation=validation, smote=smote, seed=seed)
