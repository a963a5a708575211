"""Write a first schema of a table for a person to edit: what its columns seem to be."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from runtime.contract import FedstackError
from runtime.tabular.columns.columns import Role, Task, Type, canonical
from runtime.tabular.data.diagnosis import clipped, data_error, number_of

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

WORDS: Final = ("None", "-", "unknown", "Unknown")
"""Of these, what is a level like any other beside one only: None and Chemo, - and +."""

MOST_LEVELS: Final = 20
"""Different texts that a category may have; numbers of more than two values are numbers."""

NAMES_OF_CLASSES: Final = ("class", "label", "diagnosis")
"""Labels whose whole numbers are names of classes, where they run from 0 or 1 without a gap."""

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
EVENTS: Final = ("event", "status", "arrest", "dead", "death", "died", "censor", "cens", "observed", "e")
EXPOSURES: Final = ("exposure", "offset", "person_years", "years_at_risk")
AMOUNTS: Final = re.compile(
    r"(amount|cost|price|fare|charge|income|salary|expenditure|revenue)", re.IGNORECASE
)
NEGATIVE: Final = (
    *("no", "n", "false", "negative", "neg", "absent", "none"),
    *("benign", "control", "alive", "censored", "healthy", "normal"),
)
NEGATED: Final = re.compile(r"(no|not|non|never|without)[ _-]")
"""How the one of two levels begins that says that the other is not so."""

DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
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
    columns = cells_of(file)
    names = list(columns)
    time, event = _survival(names, columns)
    label = None if time else _label_of(file, columns)
    described = [_column(name, cells) for name, cells in columns.items()]
    task = Task.COX
    for entry in described:
        name = str(entry["name"])
        if name == label:
            task = _as_label(entry, columns[name])
        elif name == time:
            _as_time(entry, columns[name], columns[str(event)])
        elif name == event:
            levels = _levels(known_cells(columns[name]))
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


def cells_of(file: Path) -> dict[str, list[str]]:
    """Read the cells of each column by its name, without spaces at their ends."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = [row for row in csv.reader(opened, strict=True) if "".join(row).strip()]
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
    return {name: [row[at].strip() for row in rows[1:]] for at, name in enumerate(names)}


def _problem(file: Path, names: list[str], rows: list[list[str]]) -> FedstackError | None:
    if not rows:
        return data_error(f"{file} has no rows below a header.", "Give a file with a header and rows.")
    if len(names) < 2:
        return data_error(
            f"{file} has one column: {names[0][:60]!r}.",
            "Separate its columns by commas; it may have semicolons or tabs.",
        )
    if "" in names:
        return data_error(
            f"The header of {file} has no name for column {names.index('') + 1} of {len(names)}.",
            "Name each column; leave one out that only numbers the rows, or that a comma at the end makes.",
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return data_error(
            f"The header of {file} has {clipped(twice[0])} twice.", "Name each column once, or drop one."
        )
    if number := next((name for name in names if number_of(name) is not None), None):
        return data_error(
            f"{file} has no header: its first line has numbers, such as {clipped(number)}.",
            "Put the columns' names first; a name that is a number needs a letter before it, as in y2024.",
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
    known = known_cells(cells)
    absent = sorted({*cells} - {*known}, key=MISSING.index)
    numbers = [number_of(cell) for cell in known]
    coded = [code for code in ("-9", "-99", "-999", "-9999") if code in known and _is_code(code, numbers)]
    known = [cell for cell in known if cell not in coded]
    entry: dict[str, Any] = {"name": name, "role": Role.FEATURE.value}
    different = {canonical(cell) for cell in known}
    if len(different) < 2:
        return {"name": name, "role": Role.IGNORE.value}
    entry |= _type(name, known, different)
    if entry["role"] is not Role.ID.value and (absent or coded):
        entry["missing"] = [*absent, *coded]
    return entry


def known_cells(cells: list[str]) -> list[str]:
    """Return the cells that are not missing; a word such as None is a level beside one only."""
    known = [cell for cell in cells if cell not in MISSING]
    if len(set(known)) == 1 and number_of(known[0]) is None:
        return [cell for cell in cells if cell not in MISSING or cell in WORDS]
    return known


def _levels(known: list[str]) -> list[str]:
    """Return the levels in their order, each as it is written where it is first: 01067 keeps its zero."""
    written = {canonical(cell): cell for cell in reversed(known)}
    two = len(written) == 2
    return sorted(
        (text if _is_coded(text) else level for level, text in written.items()),
        key=lambda level: _level_order(level, two=two),
    )


def _is_coded(cell: str) -> bool:
    """Whether a number is rather a code, such as a postcode: it begins with a zero that no number needs."""
    return re.fullmatch(r"0[0-9]+", cell) is not None


def _is_code(code: str, numbers: list[float | None]) -> bool:
    """Whether a negative number is far from all others, none of which is negative."""
    others = [value for value in numbers if value is not None and value != float(code)]
    return bool(others) and min(others) >= 0


def _type(name: str, known: list[str], different: set[str]) -> dict[str, Any]:
    numbers = [number_of(cell) for cell in known]
    rows, role = len(known), Role.FEATURE.value
    if all(map(is_day, known)):
        last = max(date.fromisoformat(cell) for cell in known)
        return {"role": role, "type": Type.DATE.value, "on": (last + timedelta(days=1)).isoformat()}
    if any(number is None or math.isnan(number) for number in numbers) or any(map(_is_coded, known)):
        if len(different) > max(MOST_LEVELS, 0.5 * rows) or (
            IDS.search(name) and len(different) > 0.5 * rows
        ):
            return {"role": Role.ID.value if len(different) > 0.9 * rows else Role.IGNORE.value}
        levels = _levels(known)
        if len(levels) > MOST_LEVELS:  # the frequent ones; what is not listed has a bucket of its own
            counts = Counter(map(canonical, known))
            levels = sorted(levels, key=lambda level: (-counts[canonical(level)], level))[:MOST_LEVELS]
        kind = Type.BINARY if len(levels) == 2 else Type.CATEGORY
        return {"role": role, "type": kind.value, "levels": levels}
    values = [float(number) for number in numbers if number is not None]
    whole = all(value.is_integer() for value in values)
    if len(different) == 2:
        return {"role": role, "type": Type.BINARY.value, "levels": _levels(known)}
    if whole and rows >= 20 and len(different) == rows and (IDS.search(name) or _consecutive(values)):
        return {"role": Role.ID.value}
    if IDS.search(name) and whole and len(different) > 0.9 * rows:
        return {"role": Role.ID.value}
    if AMOUNTS.search(name) and min(values) >= 0:
        return {"role": role, "type": Type.AMOUNT.value}
    return {"role": role, "type": Type.REAL.value}


def _consecutive(values: list[float]) -> bool:
    return max(values) - min(values) == len(values) - 1 and values == sorted(values)


def is_day(cell: str, written: re.Pattern[str] = DAY) -> bool:
    """Whether a text is a day of the calendar, written as a schema has days or in another ISO form."""
    if written.fullmatch(cell) is None:
        return False
    try:
        date.fromisoformat(cell)
    except ValueError:
        return False
    return True


def _level_order(level: str, *, two: bool) -> tuple[int, float, str]:
    """Order numbers by value, and no before yes: the first level is what the others are compared with."""
    value = number_of(level)
    if value is not None:
        return 0, value, level
    low = level.lower()
    negative = low in NEGATIVE or (two and (low == "b" or NEGATED.match(low) is not None))
    return 1, 0.0 if negative else 1.0, level


def _label_of(file: Path, columns: dict[str, list[str]]) -> str:
    """Guess the label: by its name, else the last column; one that says nothing is none."""
    telling = [name for name, cells in columns.items() if len(_levels(known_cells(cells))) > 1]
    if not telling:
        raise data_error(
            f"No column of {file} has two different values.", "Give rows that differ in what is to be learnt."
        )
    low = {name.lower(): name for name in telling}
    return next((low[name] for name in LABELS if name in low), telling[-1])


def _survival(names: list[str], columns: dict[str, list[str]]) -> tuple[str | None, str | None]:
    """Guess a time and an event by their names; neither without the other, nor beside a label's name."""
    low = {name.lower(): name for name in names}
    if any(name in low for name in LABELS):
        return None, None
    known = {name: known_cells(cells) for name, cells in columns.items()}
    time = next((low[name] for name in TIMES if name in low and _is_time(known[low[name]])), None)
    event = next((low[name] for name in EVENTS if name in low and len(_levels(known[low[name]])) == 2), None)
    return (time, event) if time and event else (None, None)


def _is_time(cells: list[str]) -> bool:
    """Whether all are numbers from 0 on, of more than two values."""
    numbers = [number_of(cell) for cell in cells]
    return all(n is not None and 0 <= n < math.inf for n in numbers) and len(set(numbers)) > 2


def _as_label(entry: dict[str, Any], cells: list[str]) -> Task:
    """Turn an entry into the label's, and return the task that it makes; a missing value is no level."""
    name, known = str(entry["name"]), known_cells(cells)
    different = _levels(known)
    numbers = [number for cell in known if (number := number_of(cell)) is not None]
    numeric = len(numbers) == len(known)
    whole = numeric and all(number.is_integer() for number in numbers)
    entry.clear()
    entry |= {"name": name, "role": Role.LABEL.value}
    if len(different) == 2 or not numeric or (whole and _classes(different, name)):
        entry["levels"] = different
        entry["type"] = Type.BINARY.value if len(different) == 2 else Type.CATEGORY.value
        return Task.BINARY if len(different) == 2 else Task.MULTICLASS
    zeros = sum(number == 0 for number in numbers) / len(numbers)
    if whole and min(numbers) == 0 and zeros > 0.02:
        entry["type"] = Type.COUNT.value
        return Task.POISSON
    entry["type"] = Type.REAL.value
    return Task.LINEAR


def _classes(different: list[str], name: str) -> bool:
    """Whether whole numbers are rather names than counts: without a gap from 0 or 1, and few or so called."""
    values = [float(one) for one in different]
    most = MOST_LEVELS if name.lower() in NAMES_OF_CLASSES else 5
    return len(values) <= most and values[0] in (0.0, 1.0) and values[-1] - values[0] == len(values) - 1


def _as_time(entry: dict[str, Any], cells: list[str], events: list[str]) -> None:
    """Turn an entry into that of a time whose grid has cells of about as many events."""
    known, times = known_cells(events), set(known_cells(cells))
    censored = canonical(_levels(known)[0])
    happened = {event for event in known if canonical(event) != censored}
    ends = sorted(
        float(cell)
        for cell, event in zip(cells, events, strict=True)
        if cell in times and event in happened and float(cell) > 0
    )
    parts = min(MOST_CELLS, max(2, len(ends) // EVENTS_PER_CELL))
    grid = {ends[round(len(ends) * part / parts) - 1] for part in range(1, parts)} if ends else set()
    name = entry["name"]
    entry.clear()
    last = max(map(float, times))
    entry |= {"name": name, "role": Role.TIME.value, "type": Type.REAL.value, "grid": sorted({*grid, last})}


def _find_exposure(described: list[dict[str, Any]]) -> None:
    for entry in described:
        if entry["name"].lower() in EXPOSURES and entry.get("type") in (Type.REAL.value, Type.AMOUNT.value):
            entry["role"], entry["type"] = Role.EXPOSURE.value, Type.AMOUNT.value
            entry.pop("missing", None)
