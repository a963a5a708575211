"""What only a row or two of a silo have: counted before an answer leaves, or joined with the usual."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from runtime.tabular.columns.columns import LEVELLED, LOGGED, Column, Role, Task, Type
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.schema import Schema

log = logging.getLogger("fedstack.client")

Values = npt.NDArray[np.float64]


def smallest_group(rows: Dataset) -> int | None:
    """Return of how many rows the smallest group is that a sum over a column, or a label, would tell apart.

    Rows of a label, of a level, without a value, with an event, whose time ends in a cell; and those that
    differ in some number from all the rest. None where all rows are alike in each.
    """
    return min((group for _, group in _groups(rows)), default=None)


def with_few(rows: Dataset, fewest: int) -> list[str]:
    """Name the columns in which fewer rows than these would be told apart, the label's first."""
    return list(dict.fromkeys(name for name, group in _groups(rows) if group < fewest))


def _groups(rows: Dataset) -> Iterator[tuple[str, int]]:
    """Yield the name of a column with each group of rows in it that a sum would tell apart."""
    for group in _label_groups(rows):
        yield rows.schema.label, group
    names = rows.schema.features
    for name, values, column in zip(names, rows.x.T, _features(rows), strict=True):
        known = values[~np.isnan(values)]
        groups = _split(len(values), len(known))
        groups += _counts(known) if column is not None and column.type in LEVELLED else _unusual(known)
        for group in groups:
            yield name, group


def _features(rows: Dataset) -> list[Column | None]:
    typed: list[Column | None] = [c for c in rows.schema.table if c.role is Role.FEATURE]
    return typed or [None] * rows.x.shape[1]


def _label_groups(rows: Dataset) -> list[int]:
    if rows.schema.of_classes:
        return _counts(rows.y)
    if rows.schema.task is Task.COX:
        ends = time_cells(rows.y, rows.schema.grid)
        return [*_counts(rows.y > 0), *_counts(ends[rows.y > 0], alone=True), *_counts(ends)]
    return _unusual(rows.y)


def time_cells(y: npt.NDArray[np.float64], grid: tuple[float, ...]) -> npt.NDArray[np.int64]:
    """Return the cell that each row's time ends in, that of the grid's end for later ones: shape (n,)."""
    return np.searchsorted(np.asarray(grid), np.abs(y), side="left").astype(np.int64)


def _counts(values: npt.NDArray[np.generic], *, alone: bool = False) -> list[int]:
    counts: list[int] = np.unique(values, return_counts=True)[1].tolist()
    return counts if len(counts) > 1 or alone else []


def _unusual(values: npt.NDArray[np.generic]) -> list[int]:
    if not len(values):
        return []
    rest = len(values) - int(np.unique(values, return_counts=True)[1].max())
    return [rest] if rest else []


def _split(rows: int, known: int) -> list[int]:
    return [known, rows - known] if 0 < known < rows else []


def joined(rows: Dataset, fewest: int) -> Dataset:
    """Join what fewer rows have than may be told apart, so that no sum over a column is of so few.

    A level of so few rows goes into the bucket of other levels, or with them to the most frequent level if
    they are too few there as well; so few missing values are filled with the silo's own mean or most frequent
    level, and so few known ones count as missing. Labels and numbers are left as they are.
    """
    x, changed = rows.x, list[str]()
    for place, column in enumerate(_features(rows)):
        if column is None:
            continue
        values = _without_few(x[:, place], column, fewest)
        if not np.array_equal(values, x[:, place], equal_nan=True):
            x = x.copy() if x is rows.x else x
            x[:, place] = values
            changed.append(column.name)
    if changed:
        log.info("fewer than %d rows are alone with a value in %s: joined with others", fewest, changed)
    return replace(rows, x=x)


def _without_few(values: Values, column: Column, fewest: int) -> Values:
    absent = np.isnan(values)
    if column.missing and 0 < (~absent).sum() < min(fewest, len(values)):
        return np.full(len(values), np.nan)
    if column.type in LEVELLED:
        values = _levels(values, column, fewest)
    if column.missing and 0 < absent.sum() < fewest and not absent.all():
        values = np.where(absent, _usual(values[~absent], column), values)
    return values


def _levels(values: Values, column: Column, fewest: int) -> Values:
    codes, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    few = codes[counts < fewest]
    if len(codes) < 2 or not len(few):
        return values
    other, rare = float(len(column.levels)), np.isin(values, few)
    together = int((rare | (values == other)).sum())
    usual = float(codes[np.argmax(counts)])
    goal = other if column.type is Type.CATEGORY and together >= fewest else usual
    return np.where(rare, goal, values)


def _usual(known: Values, column: Column) -> float:
    if column.type in LEVELLED:
        codes, counts = np.unique(known, return_counts=True)
        return float(codes[np.argmax(counts)])
    if column.type in LOGGED:
        return float(np.expm1(np.log1p(known).mean()))
    return float(known.mean())


def check_smote(schema: Schema) -> str | None:
    """Return why SMOTE cannot make rows of a schema; None if it can."""
    if schema.table:
        return "smote makes rows between rows, and typed columns have none in between; use class_weight"
    return None
