"""Say all that is wrong with a table, by column and count: what its owner may show to others."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from runtime.contract import FedstackError
from runtime.tabular.data.dataset import load_csv
from runtime.tabular.data.diagnosis import cell_fault, is_header, judge_header
from runtime.tabular.data.schema import Schema, schema_of

ANY_COLUMN: Final = "rows"


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


def check(file: Path) -> Checked:
    """Look at every row of a table; its columns are what a schema.json beside it says.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, when the schema.json declares none.
    """
    schema = schema_of(file)
    found = Checked(schema.name, len(schema.columns))
    if not getattr(schema, "table", ()):  # typed columns are judged by what reads them
        _count(file, schema, found)
    try:
        found.rows = len(load_csv(file, schema))
    except FedstackError as error:
        if not found.faults:
            found.faults.append(Fault("file", _without_values(file, error), 1, 0))
    return found


def _count(file: Path, schema: Schema, found: Checked) -> None:
    """Count the faults of each column of numbers."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], int] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened)
            for row in reader:
                if not "".join(row).strip():
                    continue
                if found.rows == 0 and not first and is_header(row, schema):
                    judge_header(file, [cell.strip() for cell in row], schema)
                    first[ANY_COLUMN, ""] = reader.line_num
                    continue
                found.rows += 1
                for fault in _faults(row, schema):
                    counts[fault] += 1
                    first.setdefault(fault, reader.line_num)
    except FedstackError as error:  # of the header, which names columns and no value
        found.faults = [Fault("header", error.what.partition(": the header ")[2].rstrip("."), 1, 0)]
        return
    except (OSError, UnicodeDecodeError, csv.Error):
        return  # reading it says which
    place = {name: number for number, name in enumerate(schema.columns)}
    ordered = sorted(counts.items(), key=lambda each: (place.get(each[0][0], -1), -each[1]))
    found.faults = [Fault(name, what, count, first[name, what]) for (name, what), count in ordered]


def _faults(row: Sequence[str], schema: Schema) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a row: column and kind."""
    if len(row) != len(schema.columns):
        yield ANY_COLUMN, f"rows with {len(row)} cells where {len(schema.columns)} belong"
        return
    for name, cell in zip(schema.columns, row, strict=True):
        if fault := cell_fault(cell, is_label=name == schema.label, signed=name in schema.as_is):
            yield name, f"cells, each {fault[0].removeprefix('which is ')}"


def _without_values(file: Path, error: FedstackError) -> str:
    """Return what is wrong with a file that has no countable fault, in words without a cell of it."""
    if error.public is not None:
        return f"it cannot be read: {error.public.removeprefix('Its data cannot be used: ').rstrip('.')}"
    return error.what.removeprefix(f"{file}").lstrip(":, ").rstrip(".")
