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
from runtime.tabular.columns.columns import EPOCH, LEVELLED, Column, Role, Task, Type
from runtime.tabular.columns.parse import BadCellError, parsers_of
from runtime.tabular.data.diagnosis import clipped, data_error
from runtime.tabular.data.schema import Schema

Values = npt.NDArray[np.float64]

OTHER: Final = "(other)"
"""What is written for a level that the schema does not list."""


def values(path: Path, schema: Schema, cells: Cells) -> tuple[Values, npt.NDArray[Any], Values | None]:
    """Return features, labels and exposure of typed cells.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, naming line, column and value of the first bad cell of a column.
    """
    parsers = parsers_of(schema)

    def parsed(column: Column) -> Values:
        parse, known = parsers[column.name], dict[str, float]()
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

    features = [parsed(c) for c in schema.table if c.role is Role.FEATURE]
    exposure = schema.column(Role.EXPOSURE)
    amounts = None if exposure is None else parsed(exposure)
    return np.stack(features, axis=1), _labels(schema, parsed), amounts


def _labels(schema: Schema, parsed: Callable[[Column], Values]) -> npt.NDArray[Any]:
    if schema.task is Task.COX:
        time, event = schema.column(Role.TIME), schema.column(Role.EVENT)
        assert time is not None and event is not None  # noqa: S101, PT018 - a schema of this task has both
        return parsed(time) * np.where(parsed(event) == 1, 1.0, -1.0)
    label = schema.column(Role.LABEL)
    assert label is not None  # noqa: S101 - a schema of typed columns has one
    return parsed(label).astype(np.int64) if schema.of_classes else parsed(label)


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
