"""What a stop from outside does: at once while nothing was begun, in order once there is something to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.command_line.at_once import INTERRUPTED, LINE, SIGNALS, at_once, end

__all__ = ["INTERRUPTED", "LINE", "at_once", "begun", "deferred", "in_order", "line", "told_by_a_child"]


def in_order() -> None:
    """Raise KeyboardInterrupt when stopped, so that what was begun is ended."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Let a stop wait until the block is over: it is short, and must not end half way.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, when a stop came within it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    if came:
        raise KeyboardInterrupt


_told = False


def told_by_a_child() -> None:
    """Note that a child process has said that it was stopped: once is enough."""
    global _told
    _told = True


def line() -> str:
    """Return what is left to say of a stop; '' where a child has said it."""
    return "" if _told else LINE


def begun() -> None:
    """Go over from the one to the other, in a process that had chosen to end at once."""
    if signal.getsignal(signal.SIGINT) is end:
        in_order()
