"""Say what of a described table a person must look at: what cells seem to be and a schema cannot hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from runtime.tabular.columns.columns import LEVELLED, Role, Type, canonical
from runtime.tabular.data.describe import cells_of, is_day, known_cells
from runtime.tabular.data.diagnosis import clipped, number_of

MOST: Final = 0.6
"""Share of a column's cells that must look like something to say so; the rest may be typing errors."""

NUMBER: Final = re.compile(r"[<>~]?\s*[+-]?[$€£¥]?\s*\d[\d.,' \u00a0]*([%$€£¥]|\s[A-Za-z]{1,4})?")
ANY_DAY: Final = re.compile(r"(\d{1,2}[./-]\d{1,2}[./-](\d{2}|\d{4})|\d{4}[./-]\d{1,2}[./-]\d{1,2})([ T].*)?")
DIGITS: Final = re.compile(r"(19|20)\d{6}")


def remarks(file: Path, described: dict[str, Any]) -> list[str]:
    """Return what to look at, for the owner of the table alone: cells are quoted.

    Parameters
    ----------
    file
        A table that has been described.
    described
        What `describe` said of it.
    """
    columns = cells_of(Path(file))
    found = []
    for entry in described["columns"]:
        known = known_cells(columns[entry["name"]])
        found += [f"{clipped(entry['name'])}: {one}" for one in _of(entry, columns[entry["name"]], known)]
    return found


def _of(entry: dict[str, Any], cells: list[str], known: list[str]) -> Iterator[str]:
    """Yield what is to be said of a column."""
    role, kind, levels = entry["role"], entry.get("type"), entry.get("levels", [])
    written = role in (Role.IGNORE, Role.ID) or (role == Role.FEATURE and kind in LEVELLED)
    different = {canonical(cell) for cell in known}
    if role in (Role.LABEL, Role.TIME, Role.EVENT) and len(known) < len(cells):
        yield f"{len(cells) - len(known)} rows lack it, and cannot be learnt from: drop them"
    if role == Role.EVENT or (role == Role.LABEL and len(levels) == 2):
        yield f"{clipped(levels[1])} is positive; swap the levels if it is not"
    elif role == Role.LABEL and len(levels) > 2:
        yield f"it has {len(levels)} classes"
    if len(different) < 2:
        yield "it has one value or none beside missing ones, and is not used"
    elif kind == Type.REAL and _mostly(known, _is_digits):
        yield f"{_such(known, _is_digits)} seem to be days: write them as 2024-03-01, and give the type date"
    elif written and _mostly(known, _is_any_day):
        yield f"{_such(known, _is_any_day)} seem to be days: write them as 2024-03-01"
    elif written and any(map(_is_dressed, known)) and _mostly(known, _is_number):
        yield f"{_such(known, _is_dressed)} seem to be numbers: write 1234.5, without unit, sign or separator"
    elif role == Role.IGNORE:
        yield f"it has {len(different):,} different texts, and is not used"
    elif kind == Type.CATEGORY and role == Role.FEATURE and len(different) > len(levels):
        yield (
            f"its {len(levels)} most frequent texts of {len(different):,} are levels; the rest are '(other)'"
        )
    if kind in LEVELLED and len(set(known)) > len(different):
        yield "numbers that are written in several ways, such as 1 and 01, are one level"


def _mostly(known: list[str], looks: Callable[[str], bool]) -> bool:
    return sum(map(looks, known)) >= MOST * len(known)


def _such(known: list[str], looks: Callable[[str], bool]) -> str:
    """Say how many cells look so, and show the first."""
    first = next(cell for cell in known if looks(cell))
    return f"{sum(map(looks, known)):,} of {len(known):,} cells, such as {clipped(first)},"


def _is_dressed(cell: str) -> bool:
    """Whether a text is a number but for its separators, sign or unit, and not one already."""
    return number_of(cell) is None and NUMBER.fullmatch(cell) is not None


def _is_number(cell: str) -> bool:
    return number_of(cell) is not None or _is_dressed(cell)


def _is_any_day(cell: str) -> bool:
    """Whether a text looks like a day in one of the forms that people write."""
    return ANY_DAY.fullmatch(cell) is not None


def _is_digits(cell: str) -> bool:
    """Whether a number is a day as 20240301."""
    return is_day(cell, DIGITS)
