"""Where the server's schedule and the windows of its clients do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cdk_app.config.models import RunWindow, ServerAccount
from cdk_app.config.rules import Labelled, Problem, known
from cdk_app.config.types import MINUTES_A_DAY, WEEKDAYS

START_MINUTES: Final = 30
"""How long after its scheduled time a run may still invite clients: the notebook may have to be set up."""


def broken_windows(hub: str, server: ServerAccount | None, clients: Labelled) -> Iterator[Problem]:
    """Yield each window that nobody keeps, and each start that a client would refuse."""
    for where, client in clients:
        if not known(client, "run_window") or client.run_window is None:
            continue
        if known(client, "kickoff") and client.kickoff == "direct":
            yield Problem(
                where,
                "run_window is given, but kickoff is 'direct': there is no broker that keeps to it",
                "Use kickoff: broker, or remove the window.",
            )
        if server is None or not known(server, "schedule") or server.schedule is None:
            continue
        for start in server.schedule.starts:
            if not _inside(client.run_window, start):
                day = WEEKDAYS[start // MINUTES_A_DAY]
                window = client.run_window
                yield Problem(
                    hub,
                    f"schedule is {day} {server.schedule.at}, which is not {START_MINUTES} minutes or more "
                    f"inside the run_window of {where} ({', '.join(window.days)} {window.opens} to "
                    f"{window.closes})",
                    "Choose a time inside every client's window; only its owner changes a window.",
                )


def _inside(window: RunWindow, start: int) -> bool:
    """Whether a run that starts at a minute of the week can invite a client for as long as it may need."""
    since = start - window.first_minute
    day, minute = since // MINUTES_A_DAY % 7, since % MINUTES_A_DAY
    return day in window.weekdays and minute + START_MINUTES <= window.minutes
