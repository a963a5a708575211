"""When a client lets runs start: days and hours of its own choice, which its broker holds the server to."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from cdk_app.constructs.broker import asl

MINUTES_A_DAY: Final = 1440
THURSDAY: Final = 4
"""The weekday of the first day that milliseconds are counted from, Sunday being 0."""

OUTSIDE: Final = "OutsideWindow"


class Window(NamedTuple):
    """Days and hours, in UTC.

    Parameters
    ----------
    days
        The weekdays on which it opens, Sunday being 0.
    opens
        The minute of the day at which it opens.
    minutes
        How long it stays open, past midnight if it must.
    """

    days: tuple[int, ...]
    opens: int
    minutes: int


def inside(window: Window) -> str:
    """Return the rule that a state is entered within the window, as JSONata.

    Time is counted from the window's opening, so that what is past midnight belongs to the day before.
    """
    days = "".join(map(str, sorted(window.days)))
    since = f"$floor($toMillis($states.context.State.EnteredTime) / 60000) - {window.opens}"
    day = f"($floor($since / {MINUTES_A_DAY}) + {THURSDAY}) % 7"
    on_day = f"$contains('{days}', $string({day}))"
    return f"($since := {since}; {on_day} and $since % {MINUTES_A_DAY} < {window.minutes})"


def states(window: Window | None, then: str) -> tuple[str, dict[str, Any]]:
    """Return where to go on, and the states that hold the server to the window; none without one."""
    if window is None:
        return then, {}
    return "InsideWindow", {
        "InsideWindow": asl.choice({then: inside(window)}, OUTSIDE),
        OUTSIDE: asl.failure(OUTSIDE, "This account lets runs start within its own run_window only."),
    }
