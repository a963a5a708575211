"""The client's own data: loaded once, prepared once, never sent."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.columns.columns import Task
from runtime.tabular.data.dataset import PARQUET, Dataset, load_csv, together
from runtime.tabular.data.preparation import Prepared, prepare
from runtime.tabular.data.schema import SCHEMA_FILE, schema_of

log = logging.getLogger("fedstack.client")


@lru_cache(maxsize=8)
def load(place: str) -> Dataset:
    """Load a CSV file, or all CSV files of a folder as one data set (a channel may hold several)."""
    path = Path(place)
    schema = schema_of(path)
    if not path.is_dir():
        return load_csv(path, schema, both_labels=False)
    return together([load_csv(file, schema, both_labels=False) for file in tables_in(path)])


def tables_in(folder: Path) -> list[Path]:
    """Return the CSV files of a channel, those in folders of it included; nothing else is left unread.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, for a file that is no CSV by its name, or when there is none that is.
    """
    there = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    there = [path for path in there if not _hidden(path.relative_to(folder)) and path != folder / SCHEMA_FILE]
    there += sorted(path for path in folder.rglob("*") if path.is_dir() and path.suffix.lower() == ".csv")
    tables = [path for path in there if path.suffix.lower() == ".csv"]
    others = [str(path.relative_to(folder)) for path in there if path not in tables]
    if others and (parquet := [name for name in others if name.lower().endswith(PARQUET)]):
        raise FedstackError(
            ExitCode.DATA,
            f"{folder} holds Parquet ({', '.join(parquet[:5])}), which is not read here.",
            "Save it as CSV, for example with pandas.read_parquet(...).to_csv(..., index=False).",
            public="Where its data should be is a Parquet file; CSV is read.",
        )
    if others and tables:
        raise FedstackError(
            ExitCode.DATA,
            f"{folder} holds {', '.join(others[:5])} beside its .csv files: nobody would read "
            f"{'it' if len(others) == 1 else 'them'}.",
            f"Take away what is no .csv file; the schema is {SCHEMA_FILE}, at the top.",
            public="Where its data should be is a file that is no .csv file.",
        )
    if not tables:
        raise FedstackError(
            ExitCode.DATA,
            f"There is no .csv file in {folder}, only {others}.",
            "Put the silo's rows there as one or more .csv files.",
            public="There is no .csv file where its data should be.",
        )
    return tables


def _hidden(path: Path) -> bool:
    """Whether a file is one that systems leave behind, such as .DS_Store."""
    return any(part.startswith(".") for part in path.parts) or path.name.startswith("_SUCCESS")


@lru_cache(maxsize=8)
def prepared(place: str, validation: float, smote: bool, seed: int, fewest: int = 1) -> Prepared:
    """Load and prepare a silo; the same arguments give the same rows in every round."""
    return prepare(load(place), validation=validation, smote=smote, seed=seed, fewest=fewest)


def facts(name: str, data: Path) -> dict[str, int]:
    """Return what the client's own ledger says of its silo at the start; what is wrong with it is found."""
    rows = load(str(data))
    if rows.y.min() == rows.y.max():
        log.warning("%s: all rows have %s %s", name, rows.schema.label, rows.y[0])
    log.info("%s: %s rows", name, f"{len(rows):,}")
    if rows.schema.task is not Task.BINARY:
        return {"rows": len(rows)}
    return {"rows": len(rows), "positives": int(rows.y.sum())}
