"""What a typed cell means as a number, and why a text means none: by its column's role and type."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date

from runtime.tabular.columns.columns import (
    CLASSES,
    EPOCH,
    LEVELLED,
    LOGGED,
    UNUSED,
    Column,
    Role,
    Task,
    Type,
    canonical,
)
from runtime.tabular.data.diagnosis import LARGEST_VALUE, clipped, number_of
from runtime.tabular.data.schema import Schema


class BadCellError(ValueError):
    """A cell that its column cannot have: why, and what to do."""


def parsers_of(schema: Schema) -> dict[str, Callable[[str], float]]:
    """Return what turns the cells of each column that is used into numbers, or raises BadCellError."""
    return {c.name: _cell_parser(c, schema.task) for c in schema.table if c.role not in UNUSED}


def _cell_parser(column: Column, task: Task) -> Callable[[str], float]:
    if column.role is Role.FEATURE:
        return feature_parser(column)
    if column.role in (Role.TIME, Role.EXPOSURE):
        return _positive
    if column.role is Role.EVENT or task in CLASSES:
        return _code_of(column)
    return _whole if task is Task.POISSON else _number


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
