"""Wait for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 120.0
"""Far beyond what anything here takes: it ends a test that would hang, and measures nothing."""


def eventually(condition: Callable[[], object], what: str = "it") -> None:
    """Return as soon as the condition holds; fail when it does not come to hold."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:g} s in vain for {what}")
        time.sleep(0.005)
