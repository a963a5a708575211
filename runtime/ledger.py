"""The run's ledger: one JSON line per event, each bound to the line before by its hash."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

GENESIS = "0" * 64


class Ledger:
    """Append events to a file; an existing file is continued, so that a resumed run keeps its past."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        lines = _whole_lines(path) if path.exists() else []
        self._count = len(lines)
        self._last = _digest(lines[-1]) if lines else GENESIS
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, event: str, **details: Any) -> None:
        """Append one event; it is on disk when this returns."""
        with self._lock:
            head = {"seq": self._count, "time": dt.datetime.now(dt.UTC).isoformat(), "event": event}
            line = json.dumps({**head, **details, "previous": self._last})
            with self.path.open("a") as file:
                file.write(line + "\n")
                file.flush()
            self._count += 1
            self._last = _digest(line)


def read(path: Path) -> list[dict[str, Any]]:
    """Return a ledger's events.

    Raises
    ------
    ValueError
        Naming the first line that was changed, removed or put in after the fact.
    """
    previous, events = GENESIS, []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            event = json.loads(line)
            follows = (event["previous"], event["seq"]) == (previous, number - 1)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: line {number} is no event") from error
        if not follows:
            raise ValueError(f"{path}: line {number} does not follow from the line before it")
        events.append(event)
        previous = _digest(line)
    return events


def _whole_lines(path: Path) -> list[str]:
    """Return a ledger's lines, without the half that a crash may have left of the last one."""
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return whole.splitlines()


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()
