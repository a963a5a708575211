"""Read and write a data set as CSV; say which cell is wrong when a file is."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.tabular.columns import cells, typed
from runtime.tabular.columns.columns import Task
from runtime.tabular.columns.typed import shortest
from runtime.tabular.data.diagnosis import (
    LARGEST_VALUE,
    data_error,
    diagnose,
    is_header,
    judge_header,
    unreadable,
)
from runtime.tabular.data.schema import CMS, Schema

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of features with their labels.

    Parameters
    ----------
    x
        Raw features, float64 of shape (n, d): numbers, days since 1970, codes of levels; NaN is missing.
    y
        Labels, shape (n,): classes from 0 on as int64; numbers; or times, those of censored rows negative.
    schema
        What the features are.
    exposure
        Of counts, what they are counted over, shape (n,); None is one for all.
    """

    x: npt.NDArray[np.float64]
    y: npt.NDArray[Any]
    schema: Schema = CMS
    exposure: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.y)

    def transformed(self) -> npt.NDArray[np.float64]:
        """Return the features as the model takes them, before they are standardised: shape (n, w)."""
        return self.schema.transform(self.x)

    def raw(self) -> npt.NDArray[Any]:
        """Return the features as a fitted pipeline takes them: numbers, or the cells of typed columns."""
        return typed.feature_cells(self.schema, self.x) if self.schema.table else self.x

    def label_summary(self) -> dict[str, float]:
        """Return rows of each class, events and censored rows, or the mean and spread of a number."""
        if self.schema.of_classes:
            counts = np.bincount(self.y.astype(np.int64), minlength=len(self.schema.classes))
            return dict(zip(self.schema.classes, counts.tolist(), strict=True))
        if self.schema.task is Task.COX:
            return {"events": int((self.y > 0).sum()), "censored": int((self.y <= 0).sum())}
        return {"mean": float(self.y.mean()), "standard deviation": float(self.y.std())}

    def strata(self) -> npt.NDArray[np.int64]:
        """Return the group of each row that a split keeps the shares of: shape (n,)."""
        return self.schema.strata(self.y)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Dataset:
        """Return the rows that an index array or a mask of shape (n,) selects, as a copy."""
        exposure = None if self.exposure is None else self.exposure[rows]
        return Dataset(self.x[rows], self.y[rows], self.schema, exposure)


def load_csv(path: str | Path, schema: Schema, *, both_labels: bool = True) -> Dataset:
    """Read a CSV with the schema's columns in the schema's order, with or without a header line.

    Parameters
    ----------
    path
        The file: UTF-8, comma-separated, one line per row, the label first.
    schema
        The columns to expect.
    both_labels
        Whether a file with one label only is an error. A silo may: it learns from the others.

    Returns
    -------
    Dataset
        x of shape (n, d) and y of shape (n,), in the order of the file.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, naming the line, the column and the value where there is one.
    """
    path = Path(path)
    if path.suffix.lower() in PARQUET:
        raise data_error(
            f"{path} is Parquet, which is not read here.",
            "Save it as CSV, for example with pandas.read_parquet(...).to_csv(..., index=False).",
        )
    if path.exists() and not path.is_file() and not path.is_dir():
        raise data_error(
            f"{path} is a device or a pipe, and no file.", "Write what it gives into a file, and give that."
        )
    if schema.table:
        return load_typed(path, schema, both_labels=both_labels)
    try:
        table = _read_table(path, schema)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except (ValueError, csv.Error) as error:
        raise diagnose(path, schema, str(error)) from error
    if not _is_sound(table, schema):
        raise diagnose(path, schema, "a value is out of range")
    labels = table[:, 0].astype(np.int64)
    if both_labels and labels.min() == labels.max():
        raise data_error(
            f"{path}: all {len(labels)} rows have {schema.label} {labels[0]}.",
            "A classifier needs rows of both labels, 0 and 1.",
        )
    return Dataset(np.ascontiguousarray(table[:, 1:]), labels, schema)


def save_csv(path: str | Path, dataset: Dataset) -> None:
    """Write the data set with a header line, so that `load_csv` gives back the same numbers."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if dataset.schema.table:
            header, rows = texts(dataset)
            writer.writerow(header)
            writer.writerows(rows)
            return
        writer.writerow(dataset.schema.columns)
        for label, row in zip(dataset.y.tolist(), dataset.x.tolist(), strict=True):
            writer.writerow([label, *map(shortest, row)])


def _read_table(path: Path, schema: Schema) -> npt.NDArray[np.float64]:
    """Parse the file in one go: shape (n, 1 + d), not yet checked beyond numbers and width."""
    with path.open(encoding="utf-8-sig") as file:
        first = _next_line(file)
        cells = next(csv.reader([first]), [])
        if is_header(cells, schema):
            judge_header(path, cells, schema)
            first = _next_line(file)
        if not first:
            raise data_error(f"{path} has no rows.", "Give a file with one line per row of data.")
        table = np.loadtxt(
            chain([first], filter(str.strip, file)),
            dtype=np.float64,
            delimiter=",",
            comments=None,
            quotechar='"',
            ndmin=2,
        )
    if table.shape[1] != len(schema.columns):
        raise ValueError(f"{table.shape[1]} columns")
    return table


def _next_line(file: Iterable[str]) -> str:
    """Return the next line that is not blank, or an empty string at the end of the file."""
    return next((line for line in file if line.strip()), "")


def _is_sound(table: npt.NDArray[np.float64], schema: Schema) -> bool:
    """Tell whether every feature is in range and every label 0 or 1; NaN compares false."""
    least = np.where(schema.logged, 0.0, -LARGEST_VALUE)
    in_range = bool(((table[:, 1:] >= least) & (table[:, 1:] <= LARGEST_VALUE)).all())
    return in_range and bool(np.isin(table[:, 0], (0, 1)).all())


def together(parts: Sequence[Dataset]) -> Dataset:
    """Return several data sets of one schema as one."""
    return Dataset(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        parts[0].schema,
        None if parts[0].exposure is None else np.concatenate([np.asarray(part.exposure) for part in parts]),
    )


def load_typed(path: Path, schema: Schema, *, both_labels: bool) -> Dataset:
    """Read a CSV of typed columns."""
    rows = cells.read(path, schema)
    x, y, exposure = typed.values(path, schema, rows)
    if schema.of_classes and both_labels and y.min() == y.max():
        raise data_error(
            f"{path}: all {len(y)} rows have {schema.label} {schema.classes[int(y[0])]}.",
            "A classifier needs rows of two labels.",
        )
    return Dataset(x, y, schema, exposure)


def texts(dataset: Dataset) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of typed rows, so that they read back the same."""
    return typed.texts(dataset.schema, dataset.x, dataset.y, dataset.exposure)
