"""Processes of a measurement: told and heard over pipes, bounded in time, gone when the block is left."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

PROJECT: Final = Path(__file__).parents[1]
QUIET: Final = {
    "PYTHONPATH": str(PROJECT),
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "1",
    "GRPC_VERBOSITY": "NONE",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
}


class WorkerError(Exception):
    """A measured process ended, or said nothing in time."""


class Worker:
    """One process that takes orders and gives figures, a JSON line each."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                env=environment,
                cwd=log.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        assert self.process.stdout  # noqa: S101 - it is a pipe
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def tell(self, **order: Any) -> None:
        assert self.process.stdin  # noqa: S101 - it is a pipe
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self, seconds: float = 60.0) -> dict[str, Any]:
        """Return what the process says next.

        Raises
        ------
        WorkerError
            When it ends first, or says nothing for so long; with the end of its log.
        """
        try:
            line = self._heard.get(timeout=seconds)
        except queue.Empty:
            line = b""
        if not line:
            state = f"ended with {self.process.poll()}" if self.process.poll() is not None else "is silent"
            raise WorkerError(f"{self.process.args!r} {state}:\n{self.log_tail()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def log_tail(self) -> str:
        """Return the end of what it wrote to its standard error."""
        return self._log.read_text(errors="replace")[-2000:]

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._heard.put(line)
        self._heard.put(b"")


class Workers:
    """Start workers; leaving the block kills the process group of every one of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._running:
            if worker.process.poll() is None:
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> Worker:
        """Start a command; what it writes to its standard error goes to a log in the folder."""
        log = self._folder / f"{len(self._running)}.log"
        worker = Worker(command, {**os.environ, **QUIET, **(environment or {})}, log)
        self._running.append(worker)
        return worker

    def module(self, name: str, *arguments: str, python: str = sys.executable) -> Worker:
        """Start a module of bench/."""
        return self.start(python, "-m", f"bench.{name}", *arguments)
