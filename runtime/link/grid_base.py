"""What every Grid of ours has of Flower's interface alike: the run that it operates in, and old ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from runtime.link import flower
from runtime.link.flower import Run


class GridBase(Grid):
    """A Grid that knows its run; subclasses carry the messages."""

    def __init__(self, run_number: int) -> None:
        self._run = flower.adopt_identity(run_number)

    def set_run(self, run: Run) -> None:
        """Set the run that this grid operates in."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that this grid operates in."""
        return self._run

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

    def as_they_come(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """Send messages and yield the replies; a grid that can do so yields each when it is there."""
        return iter(self.send_and_receive(messages, timeout=timeout))


def as_they_come(grid: Grid, messages: Iterable[Message], timeout: float) -> Iterator[Message]:
    """Send messages over any grid and yield the replies, over one of ours as they come."""
    if isinstance(grid, GridBase):
        return grid.as_they_come(messages, timeout=timeout)
    return iter(grid.send_and_receive(messages, timeout=timeout))
