"""server.py and client.py as processes of their own, as the accounts run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from cdk_app.project import PACKAGES
from rehearsal.link.place import Place
from rehearsal.link.waiting import PATIENCE, eventually
from rehearsal.nursery import SCRIPTS, Forked

ODD_CLIENT: Final = Path(__file__).with_name("odd_client.py")


class Process:
    """A process with a group of its own, and what it printed."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log = log
        ours = {"PYTHONPATH": str(PACKAGES), "SM_OUTPUT_DIR": str(log.parent)}
        given = {**os.environ, **ours, **(environment or {})}
        self._process: Forked | subprocess.Popen[bytes]
        if command[:2] == [sys.executable, "-m"] and command[2] in SCRIPTS:
            self._process = Forked(command[2], command[3:], log, given, log.parent)
            return
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=log.parent,
                env=given,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, seconds: float = PATIENCE) -> int:
        """Wait for the end; return the exit code."""
        return self._process.wait(seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def running(self) -> bool:
        """Return whether it still runs."""
        return self._process.poll() is None

    @property
    def text(self) -> str:
        """All that it has printed."""
        return self._log.read_text()

    def close(self) -> None:
        """Make sure that it is gone, with all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return  # its number may be another's by now
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired, TimeoutError):
                self._process.wait(10)


class Federation:
    """A server process and client processes in one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._started: list[Process] = []

    def server(
        self,
        *options: str,
        invites: bool = True,
        environment: Mapping[str, str] | None = None,
        limits: str = "",
    ) -> Process:
        """Start the server, under limits that bash can set; return when it has invited, if it does."""
        place, invitation = self.place, self.place.out / "invitation.json"
        invitation.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "runtime.server.server",
            f"--test-data={place.test}",
            f"--out={place.out}",
        ]
        address = [] if _given("address", options) else ["--address=127.0.0.1:0"]
        fedavg = [] if _given("strategy", options) else ["--strategy=fedavg"]
        updates = (
            [] if _given("updates", options) or _given("privacy-epsilon", options) else ["--updates=plain"]
        )
        told = [*command, f"--federation={place.roster}", *address, *fedavg, *updates, *options]
        if limits:
            told = ["bash", "-c", f'{limits} && exec "$@"', "bash", *told]
        server = self.start(told, "server.log", environment)
        if not invites:
            return server
        eventually(lambda: invitation.exists() or not server.running(), "the invitation")
        if not invitation.exists():
            raise AssertionError(server.text)
        return server

    def invitation(self) -> dict[str, str]:
        """Return what the server last told clients to join with."""
        invitation: dict[str, str] = json.loads((self.place.out / "invitation.json").read_text())
        return invitation

    def client(self, name: str, *options: str, odd: tuple[str, ...] = ()) -> Process:
        """Start a client; `odd` starts rehearsal/link/odd_client.py with these arguments first."""
        place, invitation = self.place, self.invitation()
        start = [sys.executable, *([str(ODD_CLIENT), *odd] if odd else ["-m", "runtime.client.client"])]
        said = [f"--{key}={value}" for key, value in invitation.items() if not _given(key, options)]
        pinned = [f"--client-name={name}", f"--mailbox={place.mailbox(name)}", f"--data={place.silo(name)}"]
        folders = [f"--model-dir={place.model(name).parent}", f"--output-dir={place.root / name}"]
        policy = [] if _given("privacy-updates", options) else place.plain
        return self.start([*start, *said, *pinned, *folders, *policy, *options], f"{name}.log")

    def clients(self, *names: str, summed: bool = False) -> dict[str, Process]:
        """Start these clients, or all; where a test asks for it with the default policy, which wants sums."""
        policies = {name: self.place.summed(name) if summed else () for name in self.place.names}
        return {name: self.client(name, *policies[name]) for name in names or self.place.names}

    def close(self) -> None:
        """Make sure that nothing runs any more."""
        for process in self._started:
            process.close()

    def start(self, command: list[str], log: str, environment: Mapping[str, str] | None = None) -> Process:
        """Start any command."""
        process = Process(command, self.place.root / log, environment)
        self._started.append(process)
        return process


def _given(key: str, options: tuple[str, ...]) -> bool:
    return any(option.startswith(f"--{key}=") for option in options)
