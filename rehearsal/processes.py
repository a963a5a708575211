"""Child processes that end with the rehearsal, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cdk_app.project import PACKAGES, SHIPPED
from rehearsal.nursery import Forked
from runtime.contract import ExitCode, FedstackError

GRACE_SECONDS: Final = 15.0


def run_logged(
    command: Sequence[str], environment: Mapping[str, str], timeout: float, log: Path, shown: str
) -> None:
    """Run a command to its end and keep what it prints.

    Parameters
    ----------
    timeout
        Seconds.
    log
        Where its output is appended.
    shown
        What an error calls it.

    Raises
    ------
    FedstackError
        With its last lines, when it fails.
    """
    done = subprocess.run(
        command,
        cwd=SHIPPED,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        start_new_session=True,  # Ctrl-C does not stop it half way through a stack
    )
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}\n")
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        what = f"{shown} ended with {done.returncode}:\n{last}\n"
        raise FedstackError(ExitCode.ENGINE, what, f"The whole of it is in {log}.")


class Processes:
    """Start commands in process groups of their own; leaving the block ends every one of them."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        shared = {
            "PYTHONPATH": str(PACKAGES),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",  # several clients share this machine
        }
        self._environment = {**os.environ, **shared, **(environment or {})}
        self._running: list[subprocess.Popen[bytes] | Forked] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            self._signal(process, signal.SIGTERM)
        for process in self._running:
            try:
                process.wait(GRACE_SECONDS)
            except (subprocess.TimeoutExpired, TimeoutError):
                self._signal(process, signal.SIGKILL)
                process.wait()

    def python(self, module: str, *arguments: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a module of ours."""
        return self.start(sys.executable, "-m", module, *arguments, log=log)

    def forked(self, module: str, *arguments: str, log: Path | None = None) -> Forked:
        """Start a script of ours without importing all anew: the same process, in a fraction of its CPU."""
        process = Forked(module, list(arguments), log, self._environment)
        self._running.append(process)
        return process

    def start(
        self, *command: str, log: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command; with a log its output goes there, without one to this terminal."""
        output = log.open("wb") if log else None
        try:
            process = subprocess.Popen(
                command,
                env={**self._environment, **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )
        finally:
            if output:
                output.close()
        self._running.append(process)
        return process

    @staticmethod
    def _signal(process: subprocess.Popen[bytes] | Forked, number: signal.Signals) -> None:
        if process.poll() is None:
            with suppress(ProcessLookupError):  # it has ended by now, or has no group of its own yet
                os.killpg(process.pid, number)
