"""Typed cells as numbers and back: levels as codes, days as numbers, missing values as NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.tabular.columns.cells import Cells
from runtime.tabular.columns.columns import EPOCH, LEVELLED, LOGGED, Column, Role, Task, Type, canonical
from runtime.tabular.data.diagnosis import LARGEST_VALUE, clipped, data_error, number_of
from runtime.tabular.data.schema import Schema

Values = npt.NDArray[np.float64]

OTHER: Final = "(other)"
"""What is written for a level that the schema does not list."""


class BadCellError(ValueError):
    """A cell that its column cannot have: why, and what to do."""


def values(path: Path, schema: Schema, cells: Cells) -> tuple[Values, npt.NDArray[Any], Values | None]:
    """Return features, labels and exposure of typed cells.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, naming line, column and value of the first bad cell of a column.
    """

    def parsed(column: Column, parse: Callable[[str], float]) -> Values:
        known: dict[str, float] = {}
        found = np.empty(len(cells.lines))
        for at, text in enumerate(cells.columns[column.name]):
            try:
                found[at] = known[text] if text in known else known.setdefault(text, parse(text))
            except BadCellError as error:
                where = f"line {cells.lines[at]}, column {column.name!r}"
                what, remedy = error.args
                raise data_error(
                    f"{path}, {where}: the value is {clipped(text)}, {what}.", remedy, where=where
                ) from None
        return found

    features = [parsed(c, feature_parser(c)) for c in schema.table if c.role is Role.FEATURE]
    exposure = schema.column(Role.EXPOSURE)
    amounts = None if exposure is None else parsed(exposure, _positive)
    return np.stack(features, axis=1), _labels(schema, parsed), amounts


def _labels(schema: Schema, parsed: Callable[[Column, Callable[[str], float]], Values]) -> npt.NDArray[Any]:
    if schema.task is Task.COX:
        time, event = schema.column(Role.TIME), schema.column(Role.EVENT)
        assert time is not None and event is not None  # noqa: S101, PT018 - a schema of this task has both
        return parsed(time, _positive) * np.where(parsed(event, _code_of(event)) == 1, 1.0, -1.0)
    label = schema.column(Role.LABEL)
    assert label is not None  # noqa: S101 - a schema of typed columns has one
    if schema.of_classes:
        return parsed(label, _code_of(label)).astype(np.int64)
    return parsed(label, _whole if schema.task is Task.POISSON else _number)


def feature_parser(column: Column) -> Callable[[str], float]:
    """Return what turns a text into a feature's number; NaN is a missing value."""
    absent = {*column.missing, *(canonical(code) for code in column.missing)}
    inner = _parser_of(column)

    def parse(text: str) -> float:
        if absent and (text in absent or canonical(text) in absent):
            return math.nan
        return inner(text)

    return parse


def _parser_of(column: Column) -> Callable[[str], float]:
    if column.type in LEVELLED:
        return _code_of(column)
    if column.type is Type.DATE:
        return _day
    if column.type is Type.COUNT:
        return _whole
    return _not_negative if column.type in LOGGED else _number


def _code_of(column: Column) -> Callable[[str], float]:
    codes = {canonical(level): float(code) for code, level in enumerate(column.levels)}
    feature = column.role is Role.FEATURE

    def parse(text: str) -> float:
        if (code := codes.get(canonical(text))) is not None:
            return code
        if not text:
            raise BadCellError(*_missing(feature=feature))
        if feature and column.type is Type.CATEGORY:
            return float(len(column.levels))
        levels = ", ".join(map(clipped, column.levels[:5]))
        raise BadCellError(
            f"which is none of its levels ({levels})", "Correct the cell, or the schema's levels."
        )

    return parse


def _missing(*, feature: bool = True) -> tuple[str, str]:
    remedy = 'Fill it in, or list the text under "missing" of its column in the schema.'
    return "a missing value", remedy if feature else "A row without it cannot be learnt from: drop the row."


def _number(text: str) -> float:
    value = number_of(text) if text else math.nan
    if value is None:
        raise BadCellError(
            "which is not a number", "Correct the cell; a missing value's text is listed in the schema."
        )
    if math.isnan(value):
        raise BadCellError(*_missing())
    if not abs(value) <= LARGEST_VALUE:
        raise BadCellError(f"which is beyond {LARGEST_VALUE:g}", "Correct the value or drop the row.")
    return value


def _not_negative(text: str) -> float:
    if (value := _number(text)) < 0:
        raise BadCellError(
            "which is negative", "Its log1p is taken: correct it, or let the column's type be real."
        )
    return value


def _whole(text: str) -> float:
    value = _not_negative(text)
    if not value.is_integer():
        raise BadCellError("which is not a whole number", "Correct it, or let the column's type be amount.")
    return value


def _positive(text: str) -> float:
    if (value := _number(text)) <= 0:
        raise BadCellError("which is not above 0", "Correct the value or drop the row.")
    return value


def _day(text: str) -> float:
    if not text:
        raise BadCellError(*_missing())
    try:
        return float(date.fromisoformat(text).toordinal() - EPOCH)
    except ValueError:
        raise BadCellError("which is no day such as 2024-03-01", "Write days as year-month-day.") from None


def texts(
    schema: Schema, x: Values, y: npt.NDArray[Any], exposure: Values | None
) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the columns that are used."""
    header, columns = [], list[Sequence[str]]()
    features = iter(x.T)
    for column in schema.table:
        if column.role is Role.FEATURE:
            columns.append([feature_text(column, value) for value in next(features).tolist()])
        elif column.role is Role.LABEL:
            columns.append([column.levels[int(v)] if schema.of_classes else shortest(float(v)) for v in y])
        elif column.role is Role.TIME:
            columns.append([shortest(abs(float(v))) for v in y])
        elif column.role is Role.EVENT:
            columns.append([column.levels[int(v > 0)] for v in y])
        elif column.role is Role.EXPOSURE and exposure is not None:
            columns.append([shortest(v) for v in exposure.tolist()])
        else:
            continue
        header.append(column.name)
    return header, [list(row) for row in zip(*columns, strict=True)]


def feature_cells(schema: Schema, x: Values) -> npt.NDArray[np.object_]:
    """Return the features' cells as texts, shape (n, d)."""
    columns = [column for column in schema.table if column.role is Role.FEATURE]
    made = np.empty(x.shape, dtype=object)
    for place, column in enumerate(columns):
        known = {value: feature_text(column, value) for value in np.unique(x[:, place]).tolist()}
        absent = column.missing[0] if column.missing else ""
        made[:, place] = [known.get(value, absent) for value in x[:, place].tolist()]
    return made


def feature_text(column: Column, value: float) -> str:
    """Return what a feature's cell says."""
    if math.isnan(value):
        return column.missing[0]
    if column.type in LEVELLED:
        return column.levels[int(value)] if value < len(column.levels) else OTHER
    if column.type is Type.DATE:
        return date.fromordinal(int(value) + EPOCH).isoformat()
    return shortest(value)


def shortest(value: float) -> str:
    """Write a number so that it reads back the same, whole numbers without a point."""
    return f"{value:.0f}" if value.is_integer() else repr(value)
