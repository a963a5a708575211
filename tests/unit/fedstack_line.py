"""`fedstack` as a person calls it, in this process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest

from fedstack.command import fail, invoke
from runtime.cli import run_cli


class Said(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Line = Callable[..., Said]


def call(*words: object) -> Said:
    """Call the command line with these words."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        run_cli(invoke, fail, prog_name="fedstack", args=list(map(str, words)), lazy=True)
    return Said(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave signals, and where modules are found, as they were."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    path = list(sys.path)
    yield
    sys.path[:] = path
    for number, handler in signals.items():
        signal.signal(number, handler)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path below a folder with its content; None for a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
