"""Read the cells of a CSV whose schema has typed columns, found by the names in its header."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from runtime.tabular.columns.columns import UNUSED
from runtime.tabular.data.diagnosis import data_error, judge_names, unreadable
from runtime.tabular.data.schema import Schema


@dataclass(frozen=True)
class Cells:
    """The cells of the columns that are used.

    Parameters
    ----------
    columns
        By name, one text a row, without spaces at its ends.
    lines
        The line that each row ends at.
    """

    columns: dict[str, list[str]]
    lines: list[int]


def read(path: Path, schema: Schema) -> Cells:
    """Read a file's cells.

    Raises
    ------
    FedstackError
        With ExitCode.DATA: it cannot be read, its header is not the schema's, or a row has another width.
    """
    try:
        return _read(path, schema)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise data_error(f"{path} is no CSV: {error}.", "Save it as a comma-separated UTF-8 file.") from error


def _read(path: Path, schema: Schema) -> Cells:
    all_names = [column.name for column in schema.table]
    needed = [column.name for column in schema.table if column.role not in UNUSED]
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        rows = ((reader.line_num, row) for row in reader if "".join(row).strip() or len(row) > 1)
        line, first = next(rows, (0, []))
        if not first:
            raise data_error(
                f"{path} has no rows.", "Give a file with a header and one line per row of data."
            )
        names = [cell.strip() for cell in first]
        judge_names(path, names, needed, all_names)
        places = [names.index(name) for name in needed]
        columns: list[list[str]] = [[] for _ in needed]
        lines = []
        for line, row in rows:
            if len(row) != len(names):
                raise data_error(
                    f"{path}, line {line}: {len(row)} values where {len(names)} belong.",
                    "Give each row as many cells as the header; quote a cell that has a comma in it.",
                    where=f"line {line}",
                )
            lines.append(line)
            for cells, place in zip(columns, places, strict=True):
                cells.append(row[place].strip())
    if not lines:
        raise data_error(f"{path} has no rows.", "Give a file with one line per row of data.")
    return Cells(dict(zip(needed, columns, strict=True)), lines)
