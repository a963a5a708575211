"""Starts every client's job in its own account, watches it, and stops it when the run is off.

The server takes the one role that a client's account lets it take, and with it starts the client's broker, or
the job itself where the client chose `direct`. A job that fails is known within seconds, with SageMaker's own
reason, so that nobody waits for a client that cannot come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from runtime.contract import BUSY
from runtime.errors import printable
from runtime.parallel import at_once
from runtime.server.jobs.assumed_role import KickoffRole, OwnAccount
from runtime.server.jobs.launchers import LAUNCHES, Launch
from runtime.server.jobs.throttling import patiently
from runtime.server.roster import Client
from runtime.server.settings import PlatformSettings

POLL_SECONDS: Final = 2.0

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
        self._failed: set[str] = set()
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
        _each(partial(self._start, invitation=invitation), self._clients)
        if self._failed and not self._over.is_set():
            names = sorted(self._failed)
            reason = f"{len(names)} of {len(self._clients)}: {', '.join(names)}"
            self._note("not_all_started", clients=names, reason=reason)
        while not self._over.wait(POLL_SECONDS):
            _each(self._look_at, sorted(self._running))

    def _start(self, client: Client, invitation: Mapping[str, str]) -> None:
        if self._over.is_set():
            return
        try:
            started = patiently(partial(self._launches[client.name].start, invitation), self._over)
        except Exception as error:  # whatever it is, it is of this client: the others go on
            self._give_up(client.name, error)
        else:
            self._running.add(client.name)
            self._note("started", client=client.name, by=client.kickoff, what=printable(started))

    def _give_up(self, name: str, error: Exception) -> None:
        self._running.discard(name)
        self._failed.add(name)
        self._remove(name, "not_started", f"its job could not be started: {printable(_told(error))}")

    def _look_at(self, name: str) -> None:
        try:
            outcome = patiently(self._launches[name].outcome, self._over)
        except Exception as error:  # the next look may do better
            self._note("not_watched", client=name, reason=printable(_told(error)))
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
            started = patiently(self._launches[name].start_again, self._over)
        except Exception as error:
            self._give_up(name, error)
        else:
            self._note("started_again", client=name, what=printable(started), reason=BUSY)

    def _stop_all(self, reason: str) -> None:
        _each(partial(self._stop, reason=reason), sorted(self._running))

    def _stop(self, name: str, reason: str) -> None:
        try:
            patiently(partial(self._launches[name].stop, reason))
        except Exception as error:  # the others are stopped all the same
            self._note("not_stopped", client=name, reason=printable(_told(error)))
        else:
            self._note("stopped", client=name, reason=reason)


def _each(call: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Call it for each, a bounded number at a time, to the last one."""
    for _ in at_once(call, items):
        pass


def _told(error: Exception) -> str:
    """Return what AWS said; of what is not AWS's, also which kind of error it is."""
    return str(error) if isinstance(error, ClientError | BotoCoreError) else repr(error)


def roles_of(settings: PlatformSettings) -> dict[str, KickoffRole]:
    """Return the roles that the server takes, for the clients that it starts."""
    own = OwnAccount()
    return {
        client.name: KickoffRole(client, settings.run_id, own)
        for client in settings.clients
        if client.kickoff != "none"
    }


def s3_of(roles: Mapping[str, KickoffRole], name: str) -> Callable[[], Any] | None:
    """Return how a client's mailbox is read: with its kickoff role, where there is one."""
    role = roles.get(name)
    return (lambda: role.client("s3")) if role else None
