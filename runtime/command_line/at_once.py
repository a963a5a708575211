"""End at once when stopped, while nothing was begun: the first thing that a command line imports.

It imports as little as can be, so that there is hardly a moment before it.
"""

import os
import signal

INTERRUPTED = 130
LINE = f"fedstack-error {INTERRUPTED} INTERRUPTED: Stopped from outside. Start it again to go on."
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end(*_: object) -> None:
    """End this process; an exception would end as whatever a library's import makes of it."""
    os.write(2, f"{LINE}\n".encode())
    os._exit(INTERRUPTED)


def at_once() -> None:
    """End at once when stopped: while modules are imported, and when all is done."""
    for number in SIGNALS:
        signal.signal(number, end)
