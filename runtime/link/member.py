"""One client of the roster: where it stands in the run, and what waits to be sent to it."""

from __future__ import annotations

import collections
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

MOST_LATE: Final = 2
"""Rounds that a client may keep waiting to their end before it takes part in this run no more."""


class Outbox:
    """What one conversation still has to send: the id of a message, a control frame, or None to close.

    Parameters
    ----------
    wake
        Called whenever there is more, from whichever thread put it in.
    """

    def __init__(self, wake: Callable[[], object] = lambda: None) -> None:
        self._items: collections.deque[str | bytes | None] = collections.deque()
        self._wake = wake

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: str | bytes | None) -> None:
        """Add what is to be sent next."""
        self._items.append(item)
        self._wake()

    def take(self) -> str | bytes | None:
        """Return what has waited longest; IndexError, when there is nothing."""
        return self._items.popleft()


class Presence(enum.StrEnum):
    """Where a member of the roster stands."""

    AWAITED = "never joined"
    JOINED = "joined"
    LOST = "lost"
    LEFT = "left"
    TURNED_AWAY = "refused: other versions"
    SET_ASIDE = "set aside: no reply in time"


@dataclass
class Member:
    """One client of the roster."""

    name: str
    presence: Presence = Presence.AWAITED
    leave_reason: str = ""
    outbox: Outbox | None = None
    replaced: Callable[[], object] = lambda: None
    """Called when a newer conversation takes this one's place."""
    late: int = 0
    """Rounds that waited for it to their end."""
    owed: set[str] = field(default_factory=set)
    """The ids of messages that it was given up on."""

    def take_part(self) -> bool:
        """Let it take part, unless it was late too often; return whether it is taken back."""
        if self.late >= MOST_LATE:
            self.presence = Presence.SET_ASIDE
            return False
        back = self.presence is Presence.SET_ASIDE
        self.presence = Presence.JOINED
        return back

    def set_aside(self, reason: str) -> None:
        """Let it take part no more until it speaks: it let a whole round wait."""
        self.late += 1
        self.presence = Presence.SET_ASIDE
        self.leave_reason = reason if self.late == 1 else f"{reason}, {self.late} times"
