"""The client's own data: loaded once, prepared once, never sent."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.dataset import Dataset, load_csv, together
from runtime.tabular.data.preparation import Prepared, prepare
from runtime.tabular.data.schema import schema_of

log = logging.getLogger("fedstack.client")


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


def facts(name: str, data: Path) -> dict[str, int]:
    """Return what the client's own ledger says of its silo at the start; what is wrong with it is found."""
    rows = load(str(data))
    if rows.y.min() == rows.y.max():
        log.warning("%s: all rows have %s %s", name, rows.schema.label, rows.y[0])
    log.info("%s: %s rows", name, f"{len(rows):,}")
    return {"rows": len(rows), "positives": int(rows.y.sum())}
