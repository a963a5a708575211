"""A Grid around another one, for those that change what is sent or received."""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import Message
from flwr.serverapp import Grid

from runtime.link.flower import Run
from runtime.link.grid_base import GridBase


class GridAround(GridBase):
    """Hand everything on; subclasses override what they change."""

    def __init__(self, grid: Grid) -> None:  # the other one has adopted the run
        self._grid = grid

    def set_run(self, run: Run) -> None:
        """Say which run the messages belong to."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run that the messages belong to."""
        return self._grid.run

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
        return self._grid.send_and_receive(messages, timeout=timeout)
