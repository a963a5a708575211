"""Starts every client's job in its own account, watches it, and stops it when the run is off.

The server takes the one role that a client's account lets it take, and with it starts the client's broker, or
the job itself where the client chose `direct`. A job that fails is known within seconds, with SageMaker's own
reason, so that nobody waits for a client that cannot come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from runtime.contract import BUSY
from runtime.errors import printable
from runtime.server.jobs.assumed_role import KickoffRole
from runtime.server.jobs.launchers import LAUNCHES, Launch
from runtime.server.roster import Client
from runtime.server.settings import PlatformSettings

POLL_SECONDS: Final = 2.0
AT_ONCE: Final = 16

Remove = Callable[[str, str, str], None]
Note = Callable[..., None]


class Kickoff:
    """The jobs of one run.

    Parameters
    ----------
    settings
        The run; clients whose `kickoff` is `none` are started by somebody else.
    roles
        The roles that this server takes, by the client's name.
    note
        Called with a kind of event and its details, for the ledger.
    remove
        Called with the name of a client whose job has ended, a kind of event, and the reason.
    """

    def __init__(
        self, settings: PlatformSettings, roles: Mapping[str, KickoffRole], note: Note, remove: Remove
    ) -> None:
        self._note, self._remove = note, remove
        self._clients = [client for client in settings.clients if client.kickoff != "none"]
        self._launches: dict[str, Launch] = {
            client.name: LAUNCHES[client.kickoff](client, roles[client.name], settings)
            for client in self._clients
        }
        self._running: set[str] = set()
        self._over = threading.Event()

    @contextmanager
    def jobs(self, invitation: Mapping[str, str]) -> Iterator[None]:
        """Start the jobs and watch them for the time of the block; stop them if it fails."""
        watcher = threading.Thread(target=self._work, args=(invitation,), daemon=True, name="kickoff")
        watcher.start()
        try:
            yield
        except BaseException as error:
            self._over.set()
            watcher.join()
            self._stop_all(f"The run ended: {type(error).__name__}")
            raise
        else:
            self._over.set()
            watcher.join()

    def _work(self, invitation: Mapping[str, str]) -> None:
        if not self._clients:
            return
        with ThreadPoolExecutor(min(AT_ONCE, len(self._clients)), "kickoff") as pool:
            list(pool.map(lambda client: self._start(client, invitation), self._clients))
            while not self._over.wait(POLL_SECONDS):
                list(pool.map(self._look_at, sorted(self._running)))

    def _start(self, client: Client, invitation: Mapping[str, str]) -> None:
        if self._over.is_set():
            return
        try:
            started = self._launches[client.name].start(invitation)
        except (ClientError, BotoCoreError) as error:
            self._remove(client.name, "not_started", f"its job could not be started: {printable(error)}")
        else:
            self._running.add(client.name)
            self._note("started", client=client.name, by=client.kickoff, what=printable(started))

    def _look_at(self, name: str) -> None:
        try:
            outcome = self._launches[name].outcome()
        except (ClientError, BotoCoreError) as error:  # the next look may do better
            self._note("not_watched", client=name, reason=printable(error))
            return
        if outcome is None:
            return
        if outcome.busy:
            self._start_again(name)
            return
        self._running.discard(name)
        if outcome.completed:
            self._note("job_completed", client=name)
        else:
            self._remove(name, "job_failed", f"its job failed: {printable(outcome.reason)}")

    def _start_again(self, name: str) -> None:
        try:
            started = self._launches[name].start_again()
        except (ClientError, BotoCoreError) as error:
            self._running.discard(name)
            self._remove(name, "not_started", f"its job could not be started: {printable(error)}")
        else:
            self._note("started_again", client=name, what=printable(started), reason=BUSY)

    def _stop_all(self, reason: str) -> None:
        for name in sorted(self._running):
            try:
                self._launches[name].stop(reason)
            except (ClientError, BotoCoreError) as error:
                self._note("not_stopped", client=name, reason=printable(error))
            else:
                self._note("stopped", client=name, reason=reason)


def roles_of(settings: PlatformSettings) -> dict[str, KickoffRole]:
    """Return the roles that the server takes, for the clients that it starts."""
    return {
        client.name: KickoffRole(client, session_name=settings.run_id)
        for client in settings.clients
        if client.kickoff != "none"
    }


def s3_of(roles: Mapping[str, KickoffRole], name: str) -> Callable[[], Any] | None:
    """Return how a client's mailbox is read: with its kickoff role, where there is one."""
    role = roles.get(name)
    return (lambda: role.client("s3")) if role else None
