"""What every Grid of ours has of Flower's interface alike: the run that it operates in, and old ways."""

from __future__ import annotations

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
