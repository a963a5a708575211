"""Typed columns of a table: what each is for, what its cells may hold, and how a schema.json declares it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

DAYS_PER_YEAR: Final = 365.25
LARGEST_WHOLE: Final = 2.0**53
"""Beyond it two whole numbers may be one in float64: such texts are compared as they are."""

EPOCH: Final = date(1970, 1, 1).toordinal()


class Role(enum.StrEnum):
    """What a column is for."""

    FEATURE = "feature"
    LABEL = "label"
    IGNORE = "ignore"
    ID = "id"
    EXPOSURE = "exposure"
    """Of a count: what it is counted over, such as years at risk; its logarithm is the offset."""
    TIME = "time"
    EVENT = "event"


class Type(enum.StrEnum):
    """What a column's cells hold."""

    COUNT = "count"
    """A whole number from 0 on, of which the model takes log1p."""
    AMOUNT = "amount"
    """A number from 0 on, of which the model takes log1p."""
    REAL = "real"
    """Any number, as it is."""
    CATEGORY = "category"
    """One of the levels; any other text is in a bucket of its own."""
    BINARY = "binary"
    """One of two levels."""
    DATE = "date"
    """A day as 2024-03-01, of which the model takes the age in years at the schema's reference day."""


class Task(enum.StrEnum):
    """What is learnt."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    LINEAR = "linear"
    POISSON = "poisson"
    COX = "cox"


CLASSES: Final = frozenset({Task.BINARY, Task.MULTICLASS})
LOGGED: Final = frozenset({Type.COUNT, Type.AMOUNT})
LEVELLED: Final = frozenset({Type.CATEGORY, Type.BINARY})
LISTS: Final = ("levels", "missing", "grid")
UNUSED: Final = frozenset({Role.IGNORE, Role.ID})


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    levels
        Of a category, a binary or a label of classes: its values as text, in the order of their codes. The
        first is what the others are compared with; of a binary label or an event the second is positive.
    missing
        Texts that stand for a missing value; `""` is an empty cell. Without any, a missing value is an error.
    on
        The reference day of a date.
    grid
        Of a time: the right ends of the cells that times are counted in, rising.
    """

    name: str
    role: Role = Role.FEATURE
    type: Type = Type.REAL
    levels: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    on: str = ""
    grid: tuple[float, ...] = ()

    @property
    def buckets(self) -> int:
        """How many codes a levelled column has: a category has one more, for all that is no level."""
        return len(self.levels) + (self.type is Type.CATEGORY)

    @property
    def reference_day(self) -> int:
        """The reference day of a date, in days since 1970."""
        return date.fromisoformat(self.on).toordinal() - EPOCH

    def declared(self) -> dict[str, Any]:
        """Return what schema.json says of the column."""
        said: dict[str, Any] = {"name": self.name, "role": self.role.value, "type": self.type.value}
        said |= {name: list(getattr(self, name)) for name in LISTS if getattr(self, name)}
        return said | ({"on": self.on} if self.on else {})


def canonical(text: str) -> str:
    """Return a level's text as it is compared: 1, 1.0 and 01 are one level."""
    text = text.strip()
    value = whole_number(text)
    return text if value is None else f"{value:.0f}"


def whole_number(text: str) -> float | None:
    """Return the whole number that a text is; None for any other, and where float64 has not all of them."""
    try:
        value = float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None
    return value if value is not None and value.is_integer() and abs(value) <= LARGEST_WHOLE else None


def read_columns(said: Sequence[Any]) -> tuple[tuple[Column, ...], list[str]]:
    """Return the columns that a declaration lists, and all that is wrong with it."""
    columns, faults = [], list[str]()
    for at, entry in enumerate(said, start=1):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"]:
            faults.append(f"column {at} has no name")
            continue
        column, wrong = _column(entry)
        faults += [f"column {entry['name']!r}: {one}" for one in wrong]
        if column is not None:
            columns.append(column)
    names = [column.name for column in columns]
    faults += [
        f"{name!r} is named more than once" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    return tuple(columns), faults


def _column(entry: Mapping[str, Any]) -> tuple[Column | None, list[str]]:
    known = {"name", "role", "type", "on", *LISTS}
    wrong = [f"{name!r} is no property of a column" for name in entry if name not in known]
    values: dict[str, Any] = {"name": entry["name"]}
    for name, kind in (("role", Role), ("type", Type)):
        try:
            if name in entry:
                values[name] = kind(entry[name])
        except ValueError:
            wrong.append(f"{name} is {entry[name]!r}; there are {', '.join(kind)}")
    for name in LISTS:
        if name not in entry:
            continue
        if not isinstance(entry[name], list) or any(
            isinstance(one, (list, dict, type(None))) for one in entry[name]
        ):
            wrong.append(f"{name} is no list of values")
        elif name == "grid":
            values[name] = tuple(one for one in entry[name] if isinstance(one, (int, float)))
            if len(values[name]) < len(entry[name]):
                wrong.append("grid is no list of numbers")
        else:
            values[name] = tuple(one if isinstance(one, str) else f"{one}" for one in entry[name])
    if "on" in entry:
        values["on"] = str(entry["on"])
    if wrong:
        return None, wrong
    column = Column(**values)
    return column, _faults_of(column)


def _faults_of(column: Column) -> list[str]:
    """Say what a column of its role and type cannot be."""
    faults = []
    levels = [canonical(level) for level in column.levels]
    if len(set(levels)) < len(levels):
        faults.append("a level is listed twice")
    if both := set(levels) & {canonical(code) for code in column.missing}:
        faults.append(f"{sorted(both)} are levels and missing values at once")
    feature = column.role is Role.FEATURE
    if feature and column.type in LEVELLED and len(levels) < 2:
        faults.append("its levels are fewer than two: list them all")
    if column.type is Type.BINARY and len(levels) not in (0, 2):
        faults.append("a binary has two levels")
    if feature and column.type not in LEVELLED and levels:
        faults.append(f"a {column.type} has no levels")
    if column.type is Type.DATE and feature:
        try:
            date.fromisoformat(column.on)
        except ValueError:
            faults.append(f"on is {column.on!r}, no day such as 2024-03-01 at which ages are taken")
    if column.missing and not feature and column.role not in UNUSED:
        faults.append(f"a column of role {column.role} cannot be missing: drop such rows before")
    if column.role is Role.EVENT and len(levels) != 2:
        faults.append("an event has two levels, that of a censored row first")
    if column.role is Role.TIME and (not column.grid or list(column.grid) != sorted(set(column.grid))):
        faults.append("a time needs a grid: the rising right ends of the cells that times are counted in")
    if column.grid and (column.role is not Role.TIME or column.grid[0] <= 0):
        faults.append("a grid is a time's, and begins above 0")
    return faults
