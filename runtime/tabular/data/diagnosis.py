"""Say exactly what is wrong with a CSV file: the slow way round, taken only when the fast one failed."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.schema import Schema

LARGEST_VALUE: Final = 1e15
"""No feature may exceed it: float64 still counts there in ones, and the server's bounds rest on it."""


def data_error(what: str, remedy: str, *, where: str = "") -> FedstackError:
    """Make the error of a data set that cannot be used.

    Parameters
    ----------
    where
        The place of the fault by line and column: all of the error that may leave the account of the data.
    """
    return FedstackError(ExitCode.DATA, what, remedy, f"Its data cannot be used: {where}." if where else None)


def is_header(cells: Sequence[str], schema: Schema) -> bool:
    """Tell a header from a row: it has a name of the schema in it, or no number at all."""
    names = {cell.strip() for cell in cells} - {""}
    has_number = any(number_of(name) is not None for name in names)
    return bool(names & set(schema.columns)) or (bool(names) and not has_number)


def judge_header(path: Path, cells: Sequence[str], schema: Schema) -> None:
    """Raise the error of a header that does not name the schema's columns in their order."""
    names = [cell.strip() for cell in cells]
    if names == list(schema.columns):
        return
    at = next(i for i, (got, want) in enumerate(zip_longest(names, schema.columns)) if got != want)
    missing = [name for name in schema.columns if name not in names]
    extra = [name for name in names if name not in schema.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if missing or extra:
        faults = [f"lacks {_quoted(missing)}"] * bool(missing) + [f"has {_quoted(extra)} in excess"] * bool(
            extra
        )
        what = " and ".join(faults)
    elif twice:
        what = f"names {_quoted(twice)} more than once"
    else:
        what = f"is out of order: column {at + 1} is {names[at]!r} where {schema.columns[at]!r} belongs"
    where = f"the header, column {at + 1}"
    raise data_error(f"{path}: the header {what}.", _expectation(schema), where=where)


def judge_names(path: Path, names: Sequence[str], needed: Sequence[str], known: Sequence[str]) -> None:
    """Raise the error of a header that lacks a column, or has one that the schema does not name."""
    missing = [name for name in needed if name not in names]
    extra = [name for name in names if name not in known]
    twice = sorted({name for name in names if names.count(name) > 1})
    faults = [f"lacks {_quoted(missing)}"] * bool(missing) + [f"has {_quoted(extra)} in excess"] * bool(extra)
    faults += [f"names {_quoted(twice)} more than once"] * bool(twice)
    if faults:
        at = next((i for i, name in enumerate(names, 1) if name in extra or name in twice), 1)
        raise data_error(
            f"{path}: the header {' and '.join(faults)}.",
            "Name each column of the file in the schema; one that is not used has the role ignore or id.",
            where=f"the header, column {at}",
        )


def diagnose(path: Path, schema: Schema, otherwise: str) -> FedstackError:
    """Find the first fault of a file that did not load.

    Parameters
    ----------
    path
        The file; it opens and is UTF-8.
    schema
        The columns that it should have.
    otherwise
        What to say when no row by itself is wrong.
    """
    where = ""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = ((reader.line_num, row) for row in reader if "".join(row).strip() or len(row) > 1)
            for at, (line, row) in enumerate(rows):
                if at == 0 and is_header(row, schema):
                    continue
                fault = _row_fault(row, schema)
                if fault:
                    what, remedy, column = fault
                    return data_error(f"{path}, line {line}{what}", remedy, where=f"line {line}{column}")
    except csv.Error as error:
        otherwise, where = str(error), f"line {reader.line_num}"
    what = f"{path} is not a table of numbers: {otherwise}."
    return data_error(what, _expectation(schema), where=where)


def unreadable(path: Path, error: OSError | UnicodeDecodeError) -> FedstackError:
    """Say why a file's text cannot be had."""
    if isinstance(error, OSError):
        why = error.strerror or error
        return data_error(f"{path} cannot be read: {why}.", "Give the path of a readable CSV file.")
    return data_error(
        f"{path} is not UTF-8 text: byte {error.object[error.start]:#04x}.",
        "Save it as a plain, uncompressed UTF-8 CSV file.",
        where=f"line {undecodable_line(path)}",
    )


def undecodable_line(path: Path) -> int:
    """Return the number of the first line that is not UTF-8 text, 0 if all are."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 0


def _row_fault(row: Sequence[str], schema: Schema) -> tuple[str, str, str] | None:
    """Say what is wrong with a row, what to do, and in which column if it is one; None when nothing is."""
    if len(row) != len(schema.columns):
        return f": {len(row)} values where {len(schema.columns)} belong.", _expectation(schema), ""
    for name, cell in zip(schema.columns, row, strict=True):
        fault = cell_fault(cell, is_label=name == schema.label, signed=name in schema.as_is)
        if fault:
            column = f", column {name!r}"
            return f"{column}: the value is {clipped(cell)}, {fault[0]}.", fault[1], column
    return None


def cell_fault(cell: str, *, is_label: bool, signed: bool) -> tuple[str, str] | None:
    """Say what is wrong with a cell, and what to do; None when nothing is."""
    value = number_of(cell) if cell.strip() else math.nan
    if value is None:
        return "which is not a number", "Write a number with a point and no unit, or drop the row."
    if math.isnan(value):
        return "a missing value", "Fill it in or drop the row; this schema has no missing values."
    if is_label and value not in (0.0, 1.0):
        return "which is not a label", "The label is 0 or 1."
    if value < 0 and not signed:
        return (
            "which is negative",
            "Its log1p is taken: correct the value, drop the row, or name the column in the schema's as_is.",
        )
    if math.isinf(value):
        return "which is infinite", "Correct the value or drop the row."
    if abs(value) > LARGEST_VALUE:
        return (
            f"which is {'above' if value > 0 else 'below minus'} {LARGEST_VALUE:g}",
            "Correct the value or drop the row.",
        )
    return None


def number_of(cell: str) -> float | None:
    """Parse a cell as NumPy does, which knows neither `1_000` nor other scripts' digits."""
    try:
        return float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None


def _expectation(schema: Schema) -> str:
    """Say what a file of the schema looks like."""
    return (
        f"A {schema.name!r} file has {len(schema.columns)} comma-separated columns, from "
        f"{schema.columns[0]!r} to {schema.columns[-1]!r}, in the schema's order."
    )


def _quoted(names: Sequence[str]) -> str:
    """List names for a message, the first few of many."""
    shown = ", ".join(clipped(name) for name in names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def clipped(text: str) -> str:
    """Quote a value for a message, shortened when it is long."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
