"""Silos that cannot be used, each with a mark where data is: in a cell, a header, bytes or a file's name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

MARK: Final = "Marked-Person"
NUMBER: Final = "47114711"
MARKS: Final = (MARK, NUMBER)

SCHEMA: Final = {"name": "tiny", "label": "label", "features": ["a", "b"], "as_is": ["a"]}
HEADER: Final = "label,a,b\n"
ROWS: Final = "".join(f"{row % 2},{row},{row * row % 7}\n" for row in range(40))
LINE: Final = 42
"""Of a row that comes after these."""

Fault = Callable[[Path], Path]
"""Breaks the silo in a folder, which has its schema already; returns what `--data` is to name."""


def cells(row: str, header: str = HEADER, name: str = "data.csv") -> Fault:
    """A file that ends with a bad row."""

    def broken(folder: Path) -> Path:
        (folder / name).write_text(header + ROWS + row + "\n", encoding="utf-8")
        return folder

    return broken


def bytes_(content: bytes, name: str = "data.csv") -> Fault:
    """A file of these bytes."""

    def broken(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder

    return broken


def schema(text: str) -> Fault:
    """A sound file beside a schema that is none."""

    def broken(folder: Path) -> Path:
        (folder / "schema.json").write_text(text, encoding="utf-8")
        (folder / "data.csv").write_text(HEADER + ROWS)
        return folder

    return broken


def folder_for_file(folder: Path) -> Path:
    """Make a folder where a file belongs."""
    (folder / f"{MARK}.csv").mkdir()
    return folder


def ring(folder: Path) -> Path:
    """Make a file that is a link to itself."""
    (folder / f"{MARK}.csv").symlink_to(folder / f"{MARK}.csv")
    return folder


A, B, LABEL = (f"line {LINE}, column {name!r}" for name in ("a", "b", "label"))
WIDTH: Final = f"line {LINE}"

FAULTS: Final[dict[str, tuple[Fault, str]]] = {
    "text that names a person": (cells(f"1,{MARK},2"), A),
    "a name of another script": (cells(f"1,Zoë {MARK} 李,2"), A),
    "text over two lines": (cells(f'1,2,"{MARK}\n{MARK}"'), f"line {LINE + 1}, column 'b'"),
    "text with a terminal's escapes": (cells(f"1,2,\x1b[31m{MARK}"), B),
    "a number that is negative": (cells(f"1,2,-{NUMBER}"), B),
    "a number that is too large": (cells(f"1,{NUMBER}e20,2"), A),
    "a number that is too small": (cells(f"1,-{NUMBER}e20,2"), A),
    "a number that overflows": (cells(f"1,2,1e{NUMBER}"), B),
    "a number with an underscore": (cells(f"1,2,{NUMBER}_0"), B),
    "a number with a unit": (cells(f"1,2,{NUMBER} EUR"), B),
    "a label that is a name": (cells(f"{MARK},1,2"), LABEL),
    "a label that is a number": (cells(f"{NUMBER},1,2"), LABEL),
    "a cell too many": (cells(f"1,2,3,{MARK}"), WIDTH),
    "a cell too few": (cells(f"1,{NUMBER}"), WIDTH),
    "a long cell": (cells(f"1,2,{MARK * 100}"), B),
    "an unclosed quote": (cells(f'1,"{MARK},2'), WIDTH),
    "a row with a NUL": (cells(f"1,2,{MARK}\x00"), B),
    "a header with a name of its own": (cells("1,2,3", f"label,a,{MARK}\n"), "the header, column 3"),
    "a header with a name too many": (cells("1,2,3", f"label,a,b,{MARK}\n"), "the header, column 4"),
    "a header with a name twice": (cells("1,2,3", f"label,{MARK},{MARK}\n"), "the header, column 2"),
    "a header of other columns": (cells("1,2,3", f"{MARK};a;b\n"), "the header, column 1"),
    "a header that is a row of names": (cells("1,2,3", f"{MARK},{MARK},Other\n"), "the header, column 1"),
    "a header in another order": (cells("1,2,3", "label,b,a\n", f"{MARK}.csv"), "the header, column 2"),
    "a bad cell in a file named after a person": (cells("1,x,2", name=f"{MARK}.csv"), A),
    "a file with a header only": (bytes_(HEADER.encode(), f"{MARK}.csv"), ""),
    "bytes that are no text": (bytes_(f"{HEADER}1,2,{MARK}".encode() + b"\xff\n"), "line 2"),
    "text in UTF-16": (bytes_(f"{HEADER}1,2,{MARK}\n".encode("utf-16")), "line 1"),
    "a compressed file": (bytes_(gzip.compress(f"{HEADER}1,{MARK},3\n".encode()), f"{MARK}.csv"), "line 1"),
    "a folder in place of a file": (folder_for_file, ""),
    "a link to itself": (ring, ""),
    "no file of the right name": (bytes_(b"", f"{MARK}.txt"), ""),
    "no such folder": (lambda folder: folder / f"{MARK}.csv", ""),
    "a schema that is no JSON": (schema(f"{{{MARK}"), ""),
    "a schema with a field of its own": (schema(json.dumps(SCHEMA | {MARK: 1})), ""),
    "a schema with a label that is no text": (schema(json.dumps(SCHEMA | {"label": int(NUMBER)})), ""),
    "a schema that names a column twice": (schema(json.dumps(SCHEMA | {"features": [MARK, MARK]})), ""),
    "a schema of another data set": (schema(json.dumps(SCHEMA | {"label": MARK})), "the header, column 1"),
}
"""Each fault, and the place of it that may cross."""


def break_silo(folder: Path, fault: str) -> Path:
    """Make a silo with a fault; return what `--data` is to name."""
    folder.mkdir()
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    return FAULTS[fault][0](folder)


def marks_in(text: str) -> list[str]:
    """Return what of the data is in a text."""
    return [mark for mark in MARKS if mark in text]
