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

from flwr.app import Message

from runtime.server.engines.grid_around import GridAround

MOST: Final = max(32, 4 * (os.cpu_count() or 1))
"""Few for the looks through them, and enough that no core waits for the next."""

PAUSE_SECONDS: Final = 0.02


class ThrottledGrid(GridAround):
    """Send the next message when a reply has come.

    Parameters
    ----------
    grid
        What carries the messages.
    """

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
