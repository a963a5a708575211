"""One run at a time writes into a folder; who does is known to `status` and `stop`.

The lock is the kernel's: it goes with the process that holds it, however that ends. A notebook has another
one (notebook/place.py), shared by runs into several folders: auto-stop looks for it and knows no folder.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from runtime.contract import ExitCode, FedstackError

FILE: Final = "run.lock"


class Holder(NamedTuple):
    """The process that runs a federation, and which run it is."""

    pid: int
    run_id: str


@contextmanager
def held(out: Path, run_id: str) -> Iterator[None]:
    """Hold a folder for the time of the block.

    Raises
    ------
    FedstackError
        When another process holds it.
    """
    with (out / FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(file.name)
            raise FedstackError(
                ExitCode.CONFIG,
                f"The run {other.run_id} (process {other.pid}) writes into {out}.",
                "Wait for its end, stop it with `fedstack stop`, or give another --out.",
            ) from None
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "run_id": run_id}) + "\n")
        file.flush()
        yield
        file.truncate(0)


def holder(out: Path) -> Holder | None:
    """Return who runs a federation that writes into a folder; None when nobody does."""
    path = out / FILE
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _read(path)
    return None


def _read(path: str | Path) -> Holder:
    try:
        told = json.loads(Path(path).read_text())
        return Holder(int(told["pid"]), str(told["run_id"]))
    except (ValueError, KeyError, TypeError):  # it is about to say so
        return Holder(0, "that begins")
