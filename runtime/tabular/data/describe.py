"""Write a first schema of a table for a person to edit: its label, features, and those that go below zero."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from runtime.tabular.data.diagnosis import data_error


def describe(file: Path) -> dict[str, Any]:
    """Infer a schema from a file of comma-separated numbers with a header, the label first.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, when the file is no such table.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = [[cell.strip() for cell in row] for row in csv.reader(opened) if "".join(row).strip()]
    except OSError as error:
        raise data_error(f"{file} cannot be read: {error.strerror}.", "Give a readable CSV file.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise data_error(f"{file} is no UTF-8 CSV.", "Save it as a comma-separated UTF-8 file.") from error
    names = rows[0] if rows else []
    if (
        len(rows) < 2
        or len(names) < 2
        or len({*names}) < len(names)
        or any(_is_number(name) for name in names)
    ):
        raise data_error(
            f"{file} has no header of two or more distinct names with rows below it.",
            "Put the columns' names first, the label's before all others.",
        )
    columns = {name: [row[at] for row in rows[1:] if at < len(row)] for at, name in enumerate(names)}
    negative = [name for name in names[1:] if any(cell.startswith("-") for cell in columns[name])]
    called = re.sub(r"\W+", "-", file.stem).strip("-") or "table"
    return {"name": called, "label": names[0], "features": names[1:], "as_is": negative, "rows": "rows"}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
