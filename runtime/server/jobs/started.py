"""The jobs that a run started, looked at and stopped later: by another process, after the server's end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.parallel import at_once
from runtime.server.jobs.assumed_role import KickoffRole, OwnAccount
from runtime.server.jobs.launchers import LAUNCHES, Launch
from runtime.server.jobs.throttling import patiently
from runtime.server.roster import Client
from runtime.server.settings import PlatformSettings


def launches(run: Mapping[str, Any], started: Mapping[Client, str]) -> dict[str, Launch]:
    """Return the jobs of a run by the client's name.

    Parameters
    ----------
    run
        The ledger's event of the run's beginning.
    started
        What was started, as the ledger names it.
    """
    known = {key: run["settings"][key] for key in ("name", "run_id")}
    settings = PlatformSettings(clients=tuple(started), **known)
    found, own = {}, OwnAccount()
    for client, what in started.items():
        launch = LAUNCHES[client.kickoff](client, KickoffRole(client, settings.run_id, own), settings)
        launch.adopt(what)
        found[client.name] = launch
    return found


def states(jobs: Mapping[str, Launch]) -> dict[str, str]:
    """Ask what each job is doing, with the role that the server has in its account."""
    return dict(zip(jobs, at_once(_state, jobs.values()), strict=True))


def stop(jobs: Mapping[str, Launch], reason: str) -> dict[str, str]:
    """Stop the jobs that go on; return what came of each."""
    return dict(zip(jobs, at_once(partial(_stop, reason=reason), jobs.values()), strict=True))


def _state(launch: Launch) -> str:
    try:
        outcome = patiently(launch.outcome)
    except Exception as error:  # whatever it is, it is of this job: the others are looked at all the same
        return f"cannot be looked at: {printable(error)}"
    if outcome is None:
        return "running"
    return "completed" if outcome.completed else f"ended: {printable(outcome.reason)}"


def _stop(launch: Launch, reason: str) -> str:
    if (state := _state(launch)) != "running":
        return state
    try:
        patiently(partial(launch.stop, reason))
    except Exception as error:
        return f"not stopped: {printable(error)}"
    return "stopped"


@contextmanager
def aws_said() -> Iterator[None]:
    """Turn what AWS, or its client library, refuses into an error that a person can act on.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"AWS does not do it: {printable(error)}".rstrip(".") + ".",
            "Look whose credentials these are (`aws sts get-caller-identity`), and at the Region.",
        ) from error
