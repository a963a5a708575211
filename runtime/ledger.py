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
        lines = path.read_text().splitlines() if path.exists() else []
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
        event = json.loads(line)
        if event.get("previous") != previous or event.get("seq") != number - 1:
            raise ValueError(f"{path}: line {number} does not follow from the line before it")
        events.append(event)
        previous = _digest(line)
    return events


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()
