"""Starts our scripts as processes of their own that need not import everything anew.

A process that has imported both scripts, and has started nothing yet, forks one for each that is asked for;
what a child runs is the script itself, as `python -m` would.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

SCRIPTS = ("runtime.client.client", "runtime.server.server")


@cache
def _forks() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["runtime.client.hosting.engine_app", *SCRIPTS])
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when numpy loads; children share the machine
    return context


class Forked:
    """A child in a session of its own; the part of subprocess.Popen that rehearsals need.

    Parameters
    ----------
    log
        Where its output is appended; None for this terminal.
    folder
        Where it works; None for here.
    """

    def __init__(
        self,
        module: str,
        arguments: list[str],
        log: Path | None,
        environment: Mapping[str, str],
        folder: Path | None = None,
    ) -> None:
        where = (str(log.absolute()) if log else None, str((folder or Path()).absolute()))
        self._child = _forks().Process(
            target=_run, args=(module, arguments, *where, dict(environment)), daemon=False
        )
        self._child.start()
        self.pid = self._child.pid or 0

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the end; return the exit code, as Popen has it."""
        self._child.join(seconds)
        if (code := self._child.exitcode) is None:
            raise TimeoutError(f"{self.pid} still runs after {seconds} s")
        return code

    def poll(self) -> int | None:
        """Return the exit code, if it has ended."""
        return self._child.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(
    module: str, arguments: list[str], log: str | None, folder: str, environment: dict[str, str]
) -> None:
    os.setsid()
    if log is not None:
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    del sys.modules[module]  # what was imported is run anew, as the script
    runpy.run_module(module, run_name="__main__", alter_sys=True)
