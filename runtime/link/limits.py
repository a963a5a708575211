"""What one peer can take of the server: streams, time to speak, connections, open files."""

from __future__ import annotations

import resource
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HELLO_SECONDS: Final = 10.0
"""How long a stream may be open before it says HELLO, and a connection before it has shaken hands."""
IDLE_SECONDS: Final = 30.0
"""How long a connection may be open without a stream."""
STREAMS_EACH: Final = 2
"""Streams of one certificate at a time: its conversation, and one that is about to take its place."""
STREAM_BURST: Final = 60
STREAM_PAUSE_SECONDS: Final = 5.0
"""A client may come back so many times at once, then once in so long: each time is lines in the ledger."""
STREAMS_PER_CONNECTION: Final = 100
WINDOW: Final = 1024 * 1024
"""Bytes that a client may have sent ahead of what is read: 10 MB/s at a round trip of 0.1 s. gRPC itself lets
it grow with the line, and all of it lies in the server's memory."""

MOST_OPEN_FILES: Final = 65_536
MOST_CONNECTIONS: Final = 4096
"""Of one listener; an idle one costs some 20 kB."""
SPARE_FILES: Final = 192
"""Open files that are not connections: the ledger, mailboxes, a model that is written."""
LEAST_CONNECTIONS: Final = 32


def raise_file_limit() -> int:
    """Let this process open as many files as it may (each connection is one); return how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):  # macOS lets no process have as many as its hard limit says
            return soft
        return wanted
    return MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def connections_for(files: int, clients: int) -> int:
    """Return how many connections a listener may have, where so many files may be open."""
    return max(
        LEAST_CONNECTIONS, min(MOST_CONNECTIONS + STREAMS_EACH * clients, files - SPARE_FILES - clients)
    )


def open_files() -> int:
    """Count this process's open files, connections among them; 0 where the system does not tell."""
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        if folder.is_dir():
            return sum(1 for _ in folder.iterdir())
    return 0


def server_options(connections: int) -> tuple[tuple[str, int], ...]:
    """Return gRPC's own limits: those that it keeps before any code of ours sees a stream."""
    return (
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", int(1000 * HELLO_SECONDS)),
        ("grpc.max_connection_idle_ms", int(1000 * IDLE_SECONDS)),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW),
    )


@dataclass
class _Allowance:
    """How many streams a client may still open at once; it grows back with time."""

    left: float = STREAM_BURST
    at: float = field(default_factory=time.monotonic)

    def take(self, now: float) -> bool:
        self.left = min(STREAM_BURST, self.left + (now - self.at) / STREAM_PAUSE_SECONDS)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class StreamLimit:
    """Count each client's streams, so that none holds more of the server than its share.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: defaultdict[str, int] = defaultdict(int)
        self._allowances: defaultdict[str, _Allowance] = defaultdict(lambda: _Allowance(at=clock()))

    def enter(self, name: str) -> str:
        """Take a stream in and return '', or return why not."""
        with self._lock:
            if self._open[name] >= STREAMS_EACH:
                return f"it has {STREAMS_EACH} streams already"
            if not self._allowances[name].take(self._clock()):
                return f"it came back {STREAM_BURST} times; more is once in {STREAM_PAUSE_SECONDS:g} s"
            self._open[name] += 1
            return ""

    def leave(self, name: str) -> None:
        """Let a stream go that was taken in."""
        with self._lock:
            self._open[name] -= 1
