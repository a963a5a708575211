"""What every measured process has, under Flower's old Python too: orders in, figures out, own memory."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, List  # noqa: UP035 - Python 3.10 and older libraries import this, too


def told() -> Dict[str, Any]:  # noqa: UP006
    """Read the next order of the measuring process; nothing more to read is the order to stop."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    order: Dict[str, Any] = json.loads(line)  # noqa: UP006
    return order


def say(**figures: Any) -> None:
    """Tell the measuring process something."""
    print(json.dumps(figures), flush=True)


class Marks:
    """When each round ended, by the server's clock and by the CPU seconds of its process."""

    def __init__(self) -> None:
        self._ends: List[float] = []  # noqa: UP006
        self._spent: List[float] = []  # noqa: UP006

    def round_ended(self) -> None:
        self._ends.append(time.perf_counter())
        self._spent.append(time.process_time())

    def cpu(self) -> float:
        """Return the CPU seconds of a round, those after the first."""
        return (self._spent[-1] - self._spent[0]) / max(1, len(self._spent) - 1)

    def seconds(self) -> List[float]:  # noqa: UP006
        """Return how long every round after the first took, from the end of the one before to its own."""
        return [end - start for start, end in zip(self._ends, self._ends[1:])]  # noqa: B905


def memory_mb(which: str) -> float:
    """Return this process's memory now (VmRSS) or at its highest (VmHWM), in MB of 10^6 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(which)


def forget_peak() -> None:
    """Let VmHWM begin anew at what this process holds now."""
    Path("/proc/self/clear_refs").write_text("5")


class Usage:
    """What a server's rounds cost it: memory at its highest since this began, and what the marks say."""

    def __init__(self) -> None:
        forget_peak()

    def figures(self, marks: Marks) -> Dict[str, Any]:  # noqa: UP006
        """Return the seconds of each round, the CPU seconds of one, and the peak in MB."""
        return {"seconds": marks.seconds(), "cpu": marks.cpu(), "peak": memory_mb("VmHWM")}
