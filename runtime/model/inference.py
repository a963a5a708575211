"""Scores rows on a SageMaker endpoint or in a batch transform; `predict` scores with the same functions.

Self-contained: it travels in model.tar.gz as code/inference.py, to an image that has nothing of ours.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt

CSV, JSON = "text/csv", "application/json"
LARGEST_VALUE = 1e15
Rows = npt.NDArray[np.float64]


def _refusal_type() -> type[Exception]:
    """Return the serving toolkit's own error, so that a bad request is answered with 400, not with 500."""
    try:
        from sagemaker_inference.errors import BaseInferenceToolkitError
    except ImportError:  # scoring on one's own machine
        return ValueError

    class BadRequestError(BaseInferenceToolkitError):  # type: ignore[misc]
        def __init__(self, message: str) -> None:
            super().__init__(HTTPStatus.BAD_REQUEST, message, "Bad request")

        def __str__(self) -> str:
            return str(self.message)

    return BadRequestError


Refused = _refusal_type()


def model_fn(model_dir: str) -> Any:
    """Load the Pipeline that the account's own run wrote."""
    return joblib.load(Path(model_dir) / "model.joblib")


def input_fn(body: str | bytes, content_type: str) -> list[list[Any]]:
    """Read a request: CSV with or without a header, or JSON rows, alone or under `instances`."""
    text = body.decode("utf-8-sig") if isinstance(body, bytes | bytearray) else body.removeprefix("\ufeff")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == CSV:
        return [row for row in csv.reader(io.StringIO(text)) if "".join(row).strip()]
    if kind != JSON:
        raise Refused(f"The content type is {content_type!r}; send {CSV} or {JSON}.")
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise Refused(f"The body is no JSON: {error}.") from error
    rows = rows.get("instances") if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise Refused('The body is no list of rows; send [[...], ...] or {"instances": [[...], ...]}.')
    return rows


def predict_fn(rows: list[list[Any]], model: Any) -> Rows:
    """Return each row's probability of label 1, those of several classes, or the number predicted."""
    x = features_of(rows, model)
    try:
        if not hasattr(model, "predict_proba"):
            return np.asarray(model.predict(x), dtype=np.float64)
        shares = np.asarray(model.predict_proba(x), dtype=np.float64)
    except (ValueError, TypeError) as error:  # of typed columns: each row is tried, so that its line is known
        raise Refused(_which_line(rows, model)) from error
    return shares[:, 1] if shares.shape[1] == 2 else shares


def _which_line(rows: list[list[Any]], model: Any) -> str:
    """Name the first line that the model does not take; what is in it is not told."""
    cells = features_of(rows, model)
    first = len(rows) - len(cells) + 1
    for at in range(len(cells)):
        try:
            model.predict(cells[at : at + 1])
        except (ValueError, TypeError):
            return f"Line {first + at} has a cell that the model's schema does not allow in its column."
    return "The rows have cells that the model's schema does not allow."


def output_fn(scores: Rows, accept: str) -> str:
    """Write the scores so that they read back as the very same numbers."""
    numbers = np.asarray(scores, dtype=np.float64).tolist()
    if JSON in accept.lower():
        return json.dumps({"predictions": numbers})
    lines = (number if isinstance(number, list) else [number] for number in numbers)
    return "".join(",".join(map(repr, line)) + "\n" for line in lines)


def features_of(rows: Sequence[Sequence[Any]], model: Any) -> Any:
    """Return rows as the model takes them, shape (n, d), or say which line and column cannot be.

    A header may name the columns, in any order; the label, and columns that the model does not use, may be
    among them and are left out. Without one, rows have the features in the model's order, after the label or
    without it. Rows of typed columns are cells as a file has them.
    """
    schema = getattr(model, "schema_", None) or {}
    names = list(schema.get("features", ())) or [f"column {n}" for n in range(1, width_of(model) + 1)]
    others = {str(schema.get("label", "")), *schema.get("others", ())}
    columns, start = _columns(rows, names, others, typed=bool(schema.get("typed")))
    if len(rows) == start:
        raise Refused("There are no rows.")
    if schema.get("typed"):
        return _cells(rows[start:], columns, start)
    signed = set(schema.get("as_is", names if not schema else ()))
    x = np.empty((len(rows) - start, len(names)))
    for at, row in enumerate(rows[start:]):
        line = at + start + 1
        if len(row) != len(rows[start]):
            raise Refused(f"Line {line} has {len(row)} values where {len(rows[start])} belong.")
        for to, (name, column) in enumerate(zip(names, columns, strict=True)):
            x[at, to] = _number(row[column], f"Line {line}, {name!r}", signed=name in signed)
    return x


def _cells(rows: Sequence[Sequence[Any]], columns: list[int], start: int) -> Any:
    cells = np.empty((len(rows), len(columns)), dtype=object)
    for at, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise Refused(f"Line {at + start + 1} has {len(row)} values where {len(rows[0])} belong.")
        cells[at] = ["" if row[column] is None else row[column] for column in columns]
    return cells


def width_of(model: Any) -> int:
    """Return how many features a Pipeline takes, as the first of its steps that knows it says."""
    steps = [step for _, step in getattr(model, "steps", [])] or [model]
    return int(next(step.n_features_in_ for step in steps if hasattr(step, "n_features_in_")))


def _columns(
    rows: Sequence[Sequence[Any]], names: list[str], others: set[str], *, typed: bool
) -> tuple[list[int], int]:
    """Return where each feature stands in a row, and how many header lines there are."""
    first = [str(cell).strip() for cell in rows[0]] if rows else []
    if not first or all(map(_is_number, first)) or (typed and not set(first) & set(names)):
        if len(first) in (len(names), len(names) + 1) or not first:
            skip = len(first) - len(names) if first else 0
            return [skip + at for at in range(len(names))], 0
        raise Refused(
            f"Line 1 has {len(first)} values where the model's {len(names)} features belong, from "
            f"{names[0]!r} to {names[-1]!r}."
        )
    if not set(first) & set(names):
        if any(map(_is_number, first)):  # a row, one of whose cells is no number: that cell is named below
            return [max(len(first) - len(names), 0) + at for at in range(len(names))], 0
        raise Refused(f"Line 1 is a header that names none of the model's features, {names[0]!r} and so on.")
    missing = [name for name in names if name not in first]
    extra = [name for name in first if name not in {*names, *others}]
    twice = sorted({name for name in first if first.count(name) > 1})
    for what, wrong in (("lacks", missing), ("has in excess", extra), ("names more than once", twice)):
        if wrong:
            raise Refused(f"The header {what} {', '.join(map(repr, wrong[:3]))}{' ...' * (len(wrong) > 3)}.")
    return [first.index(name) for name in names], 1


def _number(cell: Any, where: str, *, signed: bool) -> float:
    if isinstance(cell, bool) or not _is_number(cell):
        missing = cell is None or not str(cell).strip()
        raise Refused(f"{where}: {'a missing value' if missing else 'it is not a number'}.")
    value = float(cell)
    if not abs(value) <= LARGEST_VALUE:  # NaN compares false
        raise Refused(f"{where}: it is not a number within 1e15.")
    if value < 0 and not signed:
        raise Refused(f"{where}: it is negative, and the model takes its log1p.")
    return value


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return not isinstance(cell, str) or (cell.isascii() and "_" not in cell)
