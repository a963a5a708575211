"""Write a first schema of a table for a person to edit: what its columns seem to be."""

from __future__ import annotations

import csv
import math
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from runtime.contract import FedstackError
from runtime.tabular.columns.columns import Role, Task, Type, canonical
from runtime.tabular.data.diagnosis import data_error, number_of

MISSING: Final = (
    "",
    "NA",
    "N/A",
    "n/a",
    "NaN",
    "nan",
    "null",
    "NULL",
    "None",
    "?",
    "-",
    ".",
    "unknown",
    "Unknown",
)
"""Texts that usually stand for a missing value; those that a column has are listed."""

MOST_LEVELS: Final = 20
"""Different texts that a category may have; numbers of more than two values are numbers."""

EVENTS_PER_CELL: Final = 40
MOST_CELLS: Final = 12
"""Of a first grid of times: fewer events in a cell would be few in each silo."""

LABELS: Final = (
    "label",
    "target",
    "outcome",
    "class",
    "y",
    "diagnosis",
    "survived",
    "benign",
    "malignant",
    "response",
)
TIMES: Final = (
    "time",
    "duration",
    "week",
    "weeks",
    "month",
    "months",
    "day",
    "days",
    "tenure",
    "survival_time",
    "t",
)
EVENTS: Final = ("event", "status", "arrest", "dead", "death", "died", "censor", "observed")
EXPOSURES: Final = ("exposure", "offset", "person_years", "years_at_risk")
AMOUNTS: Final = re.compile(
    r"(amount|cost|price|fare|charge|income|salary|expenditure|revenue)", re.IGNORECASE
)
IDS: Final = re.compile(
    r"(^|_)(id|uuid|guid|key|nr|number|ssn|mrn|name)$|(?<=[a-z])(Id|ID)$|^(id|name)$", re.IGNORECASE
)


def describe(file: Path) -> dict[str, Any]:
    """Infer a schema from a file of comma-separated values with a header.

    Guesses that a person must look at: which column is the label (by its name, else the last one), which are
    ids (a text or a whole number of its own in every row), which numbers are amounts, levels of categories.

    Returns
    -------
    dict
        What schema.json may say: name, rows, task and columns.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, when the file is no such table.
    """
    file = Path(file)
    names, columns = _cells(file)
    time, event = _survival(names, columns)
    label = None if time else _label_of(names)
    described = [_column(name, cells) for name, cells in columns.items()]
    task = Task.COX
    for entry in described:
        name = str(entry["name"])
        if name == label:
            task = _as_label(entry, columns[name])
        elif name == time:
            _as_time(entry, columns[name], columns[event] if event else [])
        elif name == event:
            levels = sorted({canonical(cell) for cell in columns[name]}, key=_level_order)
            entry.clear()
            entry |= {"name": name, "role": Role.EVENT.value, "type": Type.BINARY.value, "levels": levels}
    if task is Task.POISSON:
        _find_exposure(described)
    return {
        "name": re.sub(r"\W+", "-", file.stem).strip("-") or "table",
        "rows": "rows",
        "task": task.value,
        "columns": described,
    }


def _cells(file: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Read the cells of each column by its name."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = [row for row in csv.reader(opened) if "".join(row).strip()]
    except OSError as error:
        raise data_error(
            f"{file} cannot be read: {error.strerror or error}.", "Give a readable CSV file."
        ) from error
    except UnicodeDecodeError as error:
        raise data_error(
            f"{file} is not UTF-8 text.", "Save it as a plain, uncompressed UTF-8 CSV file."
        ) from error
    except csv.Error as error:
        raise data_error(f"{file} is no CSV: {error}.", "Save it as a comma-separated UTF-8 file.") from error
    names = [cell.strip() for cell in rows[0]] if rows else []
    problem = _problem(file, names, rows[1:])
    if problem is not None:
        raise problem
    columns = {name: [row[at].strip() for row in rows[1:]] for at, name in enumerate(names)}
    return names, columns


def _problem(file: Path, names: list[str], rows: list[list[str]]) -> FedstackError | None:
    if not rows:
        return data_error(f"{file} has no rows below a header.", "Give a file with a header and rows.")
    if len(names) < 2:
        return data_error(
            f"{file} has one column: {names[0][:60]!r}.",
            "Separate its columns by commas; it may have semicolons or tabs.",
        )
    if "" in names or len(set(names)) < len(names):
        return data_error(f"The header of {file} has an empty name, or one twice.", "Name each column once.")
    if any(number_of(name) is not None for name in names):
        return data_error(
            f"{file} has no header: its first line has numbers.", "Put the columns' names first."
        )
    for line, row in enumerate(rows, start=2):
        if len(row) != len(names):
            return data_error(
                f"{file}, row {line}: {len(row)} values where {len(names)} belong.",
                "Give each row as many cells as the header; quote a cell that has a comma in it.",
            )
    return None


def _column(name: str, cells: list[str]) -> dict[str, Any]:
    """Describe a column as a feature, an id, or one that says nothing."""
    absent = [code for code in MISSING if code in cells]
    numbers = [number_of(cell) for cell in cells if cell]
    coded = [code for code in ("-9", "-99", "-999", "-9999") if code in cells and _is_code(code, numbers)]
    known = [cell for cell in cells if cell not in {*absent, *coded}]
    entry: dict[str, Any] = {"name": name, "role": Role.FEATURE.value}
    different = {canonical(cell) for cell in known}
    if len(different) < 2:
        return {"name": name, "role": Role.IGNORE.value}
    entry |= _type(name, known, different)
    if entry["role"] is not Role.ID.value and (absent or coded):
        entry["missing"] = [*absent, *coded]
    return entry


def _is_code(code: str, numbers: list[float | None]) -> bool:
    """Whether a negative number is far from all others, none of which is negative."""
    others = [value for value in numbers if value is not None and value != float(code)]
    return bool(others) and min(others) >= 0


def _type(name: str, known: list[str], different: set[str]) -> dict[str, Any]:
    numbers = [number_of(cell) for cell in known]
    rows, role = len(known), Role.FEATURE.value
    if all(_is_day(cell) for cell in known):
        last = max(date.fromisoformat(cell) for cell in known)
        return {"role": role, "type": Type.DATE.value, "on": (last + timedelta(days=1)).isoformat()}
    if any(number is None or math.isnan(number) for number in numbers):
        if len(different) > max(MOST_LEVELS, 0.5 * rows) or (
            IDS.search(name) and len(different) > 0.5 * rows
        ):
            return {"role": Role.ID.value if len(different) > 0.9 * rows else Role.IGNORE.value}
        levels = sorted(different, key=_level_order)
        if len(levels) > MOST_LEVELS:  # the frequent ones; what is not listed has a bucket of its own
            counts = dict.fromkeys(levels, 0)
            for cell in known:
                counts[canonical(cell)] += 1
            levels = sorted(levels, key=lambda level: (-counts[level], level))[:MOST_LEVELS]
        kind = Type.BINARY if len(levels) == 2 else Type.CATEGORY
        return {"role": role, "type": kind.value, "levels": levels}
    values = [float(number) for number in numbers if number is not None]
    whole = all(value.is_integer() for value in values)
    if len(different) == 2:
        return {"role": role, "type": Type.BINARY.value, "levels": sorted(different, key=_level_order)}
    if whole and rows >= 20 and len(different) == rows and (IDS.search(name) or _consecutive(values)):
        return {"role": Role.ID.value}
    if IDS.search(name) and whole and len(different) > 0.9 * rows:
        return {"role": Role.ID.value}
    if AMOUNTS.search(name) and min(values) >= 0:
        return {"role": role, "type": Type.AMOUNT.value}
    return {"role": role, "type": Type.REAL.value}


def _consecutive(values: list[float]) -> bool:
    return max(values) - min(values) == len(values) - 1 and values == sorted(values)


def _is_day(cell: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", cell):
        return False
    try:
        date.fromisoformat(cell)
    except ValueError:
        return False
    return True


def _level_order(level: str) -> tuple[int, float, str]:
    """Order numbers by value, and no before yes: the first level is what the others are compared with."""
    value = number_of(level)
    if value is not None:
        return 0, value, level
    low = level.lower()
    negative = low in {
        "no",
        "n",
        "false",
        "f",
        "negative",
        "absent",
        "b",
        "benign",
        "control",
        "alive",
        "censored",
    }
    return 1, 0.0 if negative and low != "f" else 1.0, level


def _label_of(names: list[str]) -> str:
    """Guess the label: by its name, else the last column."""
    low = {name.lower(): name for name in names}
    return next((low[name] for name in LABELS if name in low), names[-1])


def _survival(names: list[str], columns: dict[str, list[str]]) -> tuple[str | None, str | None]:
    """Guess a time and an event by their names; neither without the other, nor beside a label's name."""
    low = {name.lower(): name for name in names}
    if any(name in low for name in LABELS):
        return None, None
    time = next((low[name] for name in TIMES if name in low and _positive(columns[low[name]])), None)
    event = next((low[name] for name in EVENTS if name in low and len(set(columns[low[name]])) == 2), None)
    return (time, event) if time and event else (None, None)


def _positive(cells: list[str]) -> bool:
    return (
        all((value := number_of(cell)) is not None and value > 0 for cell in cells if cell)
        and len(set(cells)) > 2
    )


def _as_label(entry: dict[str, Any], cells: list[str]) -> Task:
    """Turn an entry into the label's, and return the task that it makes."""
    name = entry["name"]
    different = sorted({canonical(cell) for cell in cells if cell}, key=_level_order)
    numbers = [number_of(cell) for cell in cells if cell]
    numeric = all(number is not None for number in numbers)
    whole = numeric and all(number is not None and number.is_integer() for number in numbers)
    entry.clear()
    entry |= {"name": name, "role": Role.LABEL.value}
    if (
        len(different) == 2
        or not numeric
        or (whole and len(different) <= MOST_LEVELS // 2 and _classes(different))
    ):
        entry["levels"] = different
        entry["type"] = Type.BINARY.value if len(different) == 2 else Type.CATEGORY.value
        return Task.BINARY if len(different) == 2 else Task.MULTICLASS
    counts = whole and min(float(one) for one in different) == 0
    zeros = sum(number == 0 for number in numbers) / len(numbers)
    if counts and zeros > 0.02:
        entry["type"] = Type.COUNT.value
        return Task.POISSON
    entry["type"] = Type.REAL.value
    return Task.LINEAR


def _classes(different: list[str]) -> bool:
    """Whether few whole numbers are rather names than counts: consecutive from 0 or 1, and three to five."""
    values = [float(one) for one in different]
    return len(values) <= 5 and values[0] in (0.0, 1.0) and values[-1] - values[0] == len(values) - 1


def _as_time(entry: dict[str, Any], cells: list[str], events: list[str]) -> None:
    """Turn an entry into that of a time whose grid has cells of about as many events."""
    censored = min(set(events), key=_level_order)
    ends = sorted(float(cell) for cell, event in zip(cells, events, strict=True) if event != censored)
    parts = min(MOST_CELLS, max(2, len(ends) // EVENTS_PER_CELL))
    grid = {ends[round(len(ends) * part / parts) - 1] for part in range(1, parts)}
    name = entry["name"]
    entry.clear()
    last = max(float(cell) for cell in cells if cell)
    entry |= {"name": name, "role": Role.TIME.value, "type": Type.REAL.value, "grid": sorted({*grid, last})}


def _find_exposure(described: list[dict[str, Any]]) -> None:
    for entry in described:
        if entry["name"].lower() in EXPOSURES and entry.get("type") in (Type.REAL.value, Type.AMOUNT.value):
            entry["role"], entry["type"] = Role.EXPOSURE.value, Type.AMOUNT.value
            entry.pop("missing", None)
