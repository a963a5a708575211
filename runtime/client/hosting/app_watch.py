"""What an app does on a client beside computing, for the client's own ledger.

Python's audit events tell of files that are opened elsewhere than where the app's data and code lie, of what
is unpickled, of processes and of connections. They are evidence for the data's owner, and no wall: who
approves an app for an account reads its code, and the wall is the job's network and role.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

EVENTS: Final = {
    "open": "opened",
    "pickle.find_class": "unpickled",
    "subprocess.Popen": "started",
    "os.system": "started",
    "os.exec": "started",
    "os.posix_spawn": "started",
    "socket.connect": "connected",
}
"""Audit events of Python, and what the ledger calls them."""

MOST: Final = 1000
"""Different acts that are kept."""


class AppWatch:
    """Note what an app does, each act once.

    Parameters
    ----------
    places
        Folders and files that the app may use without being noted: its data, its code, its output.
    """

    def __init__(self, places: Sequence[str]) -> None:
        own = (sys.prefix, sys.base_prefix, tempfile.gettempdir(), os.devnull, *sys.path, *places)
        self._places = tuple(str(Path(place).resolve()) for place in own if place)
        self._acts: dict[tuple[str, str], None] = {}
        self._fresh: list[tuple[str, str]] = []
        self._active = threading.local()
        sys.addaudithook(self._hear)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what this thread does, for the time of the block."""
        self._active.on = True
        try:
            yield
        finally:
            self._active.on = False

    def fresh(self) -> list[tuple[str, str]]:
        """Return what is new since the last time: (opened | unpickled | started | connected, what)."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in EVENTS or not getattr(self._active, "on", False):
            return
        self._active.on = False  # looking at a path raises events of its own
        try:
            what = self._described(event, args)
            act = EVENTS[event], what
            if what and act not in self._acts and len(self._acts) < MOST:
                self._acts[act] = None
                self._fresh.append(act)
        finally:
            self._active.on = True

    def _described(self, event: str, args: tuple[Any, ...]) -> str:
        """Say what was done; '' for what the app may do."""
        if event == "open":
            if not isinstance(args[0], (str, bytes, os.PathLike)):
                return ""
            path = os.path.realpath(os.fsdecode(args[0]))
            inside = any(path == place or path.startswith(place + os.sep) for place in self._places)
            return "" if inside else path
        if event == "pickle.find_class":
            return f"{args[0]}.{args[1]}"
        return " ".join(map(str, args[:2] if event == "subprocess.Popen" else args[1:2] or args))[:500]
