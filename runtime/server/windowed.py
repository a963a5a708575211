"""A Grid with few messages on their way at once, as Flower's simulation runtime needs with many nodes.

That runtime looks for every node through every message that is on its way, again and again: a thousand
messages at once cost a million looks each time, and the clients wait. With few on their way it keeps up.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from itertools import islice
from typing import Final

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

MOST: Final = max(32, 4 * (os.cpu_count() or 1))
"""Few for the looks through them, and enough that no core waits for the next."""

PAUSE_SECONDS: Final = 0.02


class Windowed(Grid):
    """Send the next message when a reply has come.

    Parameters
    ----------
    grid
        What carries the messages.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def set_run(self, run: Run) -> None:
        """Say which run the messages belong to."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run that the messages belong to."""
        return self._grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Build a message; Flower keeps this for older ServerApps."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that take part."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, all at once; return the ids that their replies are pulled by."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have come so far."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return the replies that came in time."""
        end = time.monotonic() + (math.inf if timeout is None else timeout)
        unsent, on_way, replies = iter(messages), set[str](), list[Message]()
        while time.monotonic() < end:
            on_way.update(self._grid.push_messages(islice(unsent, MOST - len(on_way))))
            if not on_way:
                break
            came = list(self._grid.pull_messages(on_way))
            on_way -= {reply.metadata.reply_to_message_id for reply in came}
            replies += came
            if not came:
                time.sleep(PAUSE_SECONDS)
        return replies
