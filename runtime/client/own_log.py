"""The client's own log: stdout, which stays in its account; stderr may end up in a FailureReason."""

from __future__ import annotations

import io
import logging
import sys
import threading
import traceback
from typing import Final

from runtime.contract import FedstackError
from runtime.errors import escaped

log: Final = logging.getLogger("fedstack.client")


class _Escaping(logging.Formatter):
    """Write out what a terminal would obey, and indent all lines but the first: no text looks like one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the entry as it is printed."""
        return "\n    ".join(map(escaped, super().format(record).split("\n")))


def start() -> None:
    """Send what this process logs, warnings and failed threads to stdout, unless it has a log already."""
    if logging.getLogger().hasHandlers():
        return
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False  # what cannot be logged would be printed to stderr
    logging.basicConfig(level=logging.INFO, handlers=[_handler()])
    logging.captureWarnings(True)
    threading.excepthook = lambda failed: log.error("A thread failed", exc_info=failed.exc_value)


def failed(doing: str, error: BaseException, *, texts: bool = True) -> None:
    """Log all of an error; without texts only its kind and where it was raised."""
    if not log.hasHandlers():  # on Flower's own engines, whose log is on stderr
        log.addHandler(_handler())
    kind = type(error).__name__
    if texts:
        log.error("%s: %s", doing, error if isinstance(error, FedstackError) else kind, exc_info=error)
    else:
        log.error("%s: %s\n%s", doing, kind, "".join(traceback.format_tb(error.__traceback__)))


def _handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Escaping("%(asctime)s %(message)s"))
    return handler
