"""The run's ledger: one JSON line per event, each bound to the line before by its hash.

A line ends with the SHA-256 of all that it says before that, and the next line repeats it as `previous`. So
the hash of the last line, the ledger's head, stands for every line. `python -m runtime.ledger verify` checks
a ledger, alone or beside the other side's.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from runtime.contract import ExitCode, FedstackError
from runtime.errors import unwritable

GENESIS: Final = "0" * 64

MODEL_DIGEST: Final = "model_file_sha256"
"""In the event that ends a run, or a client's job: the SHA-256 of the model.joblib that it left."""


class LedgerError(ValueError):
    """A line is not what was written there, or not where."""


class Ledger:
    """Append events to a file; an existing file is continued, so that a resumed run keeps its past.

    Raises
    ------
    FedstackError
        When the existing file cannot be read, or its lines do not follow from each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        events = _continued(path) if path.exists() else []
        self._count = len(events)
        self._head = events[-1]["sha256"] if events else GENESIS
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, event: str, **details: Any) -> str:
        """Append one event; return the hash of its line. A crash of this process does not lose it.

        Raises
        ------
        FedstackError
            When the disk does not take it; the ledger is as it was then.
        """
        with self._lock:
            place = {"seq": self._count, "time": dt.datetime.now(dt.UTC).isoformat(), "event": event}
            text = json.dumps({**place, **details, "previous": self._head})
            digest = _sha256(text)
            self._append(f"{text[:-1]}{_tail(digest)}\n".encode())
            self._count += 1
            self._head = digest
            return digest

    def _append(self, line: bytes) -> None:
        """Append all of a line or nothing: what a full disk took of it would break the chain."""
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab", buffering=0) as file:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, before)
            raise unwritable(error, f"The ledger {self.path}") from error

    def sync(self) -> None:
        """Put what was written on the disk: a crash of the machine does not lose it from here on."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


def read(path: Path) -> list[dict[str, Any]]:
    """Return a ledger's events, without the half of a line that a crash may have left.

    Raises
    ------
    LedgerError
        Naming the first line that was changed, removed or put in after the fact.
    FedstackError
        When the file cannot be read.
    """
    return chained(path, lines_of(path)[0])


def last(path: Path) -> dict[str, Any]:
    """Return a ledger's last event as it stands there; nothing where there is none that can be read."""
    try:
        event = json.loads(lines_of(path)[0][-1])
        return event if isinstance(event, dict) else {}
    except (FedstackError, ValueError, LookupError, TypeError):
        return {}


def head(path: Path) -> str:
    """Return the hash of a ledger's last line; GENESIS where there is none that can be read."""
    return str(last(path).get("sha256", GENESIS))


def of_model(path: Path | None) -> dict[str, str]:
    """Return what a last event says of a model's file; nothing where none was written."""
    if path is None or not path.exists():
        return {}
    return {MODEL_DIGEST: hashlib.sha256(path.read_bytes()).hexdigest()}


def lines_of(path: Path) -> tuple[list[str], str]:
    """Return a ledger's lines, and what a crash may have left of one more.

    Raises
    ------
    FedstackError
        When there is no such file, or it is no text.
    """
    try:
        *lines, half = path.read_bytes().decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise FedstackError(
            ExitCode.CONFIG, f"The ledger {path} cannot be read ({reason}).", "Name a ledger.jsonl."
        ) from error
    return lines, half


def chained(path: Path, lines: list[str]) -> list[dict[str, Any]]:
    """Return the events of lines, each of which must follow from the one before; or raise LedgerError."""
    previous, events = GENESIS, []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            place, digest = (event["seq"], event["previous"]), event["sha256"]
            whole = isinstance(event["event"], str) and line.endswith(_tail(digest))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise LedgerError(f"{path}: line {number} is no event") from error
        if not whole or digest != _sha256(line.removesuffix(_tail(digest)) + "}"):
            raise LedgerError(f"{path}: line {number} was changed: its hash is of another text")
        if place != (number - 1, previous):
            raise LedgerError(f"{path}: line {number} does not follow from the line before it")
        events.append(event)
        previous = digest
    return events


def _continued(path: Path) -> list[dict[str, Any]]:
    """Return the events of a ledger that is to be continued, and remove a half line from the file."""
    lines, half = lines_of(path)
    try:
        events = chained(path, lines)
    except LedgerError as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The ledger was changed: {error}.",
            "Keep it as it is, and let the run write into another folder.",
        ) from error
    if half:
        os.truncate(path, path.stat().st_size - len(half.encode()))
    return events


def _tail(digest: Any) -> str:
    return f', "sha256": "{digest}"}}'


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    from runtime.ledger_command import main

    main()
