"""Say all that is wrong with a table, by column and count: what its owner may show to others."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from runtime.contract import FedstackError
from runtime.tabular.columns.parse import BadCellError, parsers_of
from runtime.tabular.data.dataset import load_csv
from runtime.tabular.data.diagnosis import cell_fault, is_header, number_of, undecodable_line
from runtime.tabular.data.schema import Schema, schema_of

ANY_COLUMN: Final = "rows"
HEADER: Final = "header"
FILE: Final = "file"


@dataclass(frozen=True)
class Fault:
    """What is wrong with so many cells of a column, or with so many rows."""

    column: str
    what: str
    count: int
    line: int
    """Where the first one is; 0 where it is of the whole file."""

    def __str__(self) -> str:
        """Say it in one line, without a value."""
        if not self.line:
            return f"{self.column}: {self.what}"
        first = f", the first in line {self.line}" if self.count > 1 else f", in line {self.line}"
        return f"{self.column}: {self.count:,} {self.what}{first}"


@dataclass
class Checked:
    """A table that was looked at."""

    schema: str
    columns: int
    rows: int = 0
    faults: list[Fault] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        return asdict(self)


Look = Callable[[str], tuple[str, object]]
"""Says what is wrong with a cell ('' when nothing is), and what it means: of a label, its class."""


class _Tally:
    """Faults by column and kind, with the line of the first of each."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], int] = {}

    def add(self, column: str, what: str, line: int) -> None:
        self._counts[column, what] += 1
        self._first.setdefault((column, what), line)

    def faults(self, columns: Sequence[str]) -> list[Fault]:
        """Return the faults in the columns' order; those of header and file come first."""
        place = {name: number for number, name in enumerate(columns)}
        ordered = sorted(self._counts.items(), key=lambda each: (place.get(each[0][0], -1), -each[1]))
        return [Fault(name, what, count, self._first[name, what]) for (name, what), count in ordered]


def check(file: Path) -> Checked:
    """Look at every row of a table; its columns are what a schema.json beside it says.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, when the schema.json declares none.
    """
    schema = schema_of(file)
    found = Checked(schema.name, len(schema.columns))
    _count(file, schema, found)
    try:
        found.rows = len(load_csv(file, schema))
    except FedstackError as error:
        if not found.faults:
            found.faults.append(Fault(FILE, _without_values(file, error), 1, 0))
    return found


def _count(file: Path, schema: Schema, found: Checked) -> None:
    """Count the faults of each column."""
    tally, labels, whole = _Tally(), set[object](), False
    looks = _looks(schema)
    names = list(schema.columns)
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened, strict=bool(schema.table))
            lines = ((reader.line_num, row) for row in reader if "".join(row).strip() or len(row) > 1)
            for at, (line, row) in enumerate(lines):
                if at == 0 and (schema.table or is_header(row, schema)):
                    names = [cell.strip() for cell in row]
                    if wrong := list(_header_faults(names, schema)):
                        found.faults = [Fault(HEADER, what, 1, 0) for what in wrong]
                        if not schema.table:  # whose columns are known by their places
                            return
                    continue
                found.rows += 1
                if len(row) != len(names):
                    tally.add(ANY_COLUMN, f"rows with {len(row)} cells where {len(names)} belong", line)
                    continue
                for name, cell in zip(names, row, strict=True):
                    if name not in looks:
                        continue
                    what, meant = looks[name](cell)
                    if what:
                        tally.add(name, f"cells, each {what}", line)
                    elif name == schema.label and schema.of_classes:
                        labels.add(meant)
    except UnicodeDecodeError:
        tally.add(FILE, f"it is not UTF-8 text from line {undecodable_line(file)} on", 0)
    except csv.Error as error:
        tally.add(FILE, f"it is no CSV from line {reader.line_num} on: {error}", 0)
    except OSError:
        return  # reading it says why
    else:
        whole = True
    found.faults += tally.faults(names)
    if whole and found.faults and len(labels) == 1:
        found.faults.append(Fault(schema.label, "all rows that can be read are of one class", 1, 0))


def _looks(schema: Schema) -> dict[str, Look]:
    """Return what looks at the cells of each column that is used."""
    if not schema.table:
        return {name: _plain_look(schema, name) for name in schema.columns}
    return {name: _typed_look(parse) for name, parse in parsers_of(schema).items()}


def _plain_look(schema: Schema, name: str) -> Look:
    is_label, signed = name == schema.label, name in schema.as_is

    def look(cell: str) -> tuple[str, object]:
        fault = cell_fault(cell, is_label=is_label, signed=signed)
        return ("", number_of(cell)) if fault is None else (fault[0].removeprefix("which is "), None)

    return look


def _typed_look(parse: Callable[[str], float]) -> Look:
    known: dict[str, tuple[str, object]] = {}

    def look(cell: str) -> tuple[str, object]:
        text = cell.strip()
        if text not in known:
            try:
                known[text] = "", parse(text)
            except BadCellError as error:
                known[text] = str(error.args[0]).removeprefix("which is "), None
        return known[text]

    return look


def _header_faults(names: Sequence[str], schema: Schema) -> Iterator[str]:
    """Yield what is wrong with a header; a name of no column may be a value, and is told by place."""
    columns = [column.name for column in schema.table] or list(schema.columns)
    needed = list(parsers_of(schema)) if schema.table else columns
    if lacks := [name for name in needed if name not in names]:
        yield f"lacks {', '.join(map(repr, lacks))}"
    if extra := [str(place) for place, name in enumerate(names, 1) if name not in columns]:
        yield f"has what the schema does not name in column {', '.join(extra)}"
    if twice := [name for name in columns if names.count(name) > 1]:
        yield f"names {', '.join(map(repr, twice))} more than once"
    if not schema.table and sorted(names) == sorted(columns) and list(names) != columns:
        at = next(place for place, name in enumerate(names) if name != columns[place])
        yield f"is out of order: column {at + 1} is {names[at]!r} where {columns[at]!r} belongs"


def _without_values(file: Path, error: FedstackError) -> str:
    """Return what is wrong with a file that has no countable fault, in words without a cell of it."""
    if error.public is not None:
        return f"it cannot be read: {error.public.removeprefix('Its data cannot be used: ').rstrip('.')}"
    return error.what.removeprefix(f"{file}").lstrip(":, ").rstrip(".")
