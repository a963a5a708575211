"""A round's updates one by one: each is judged when it comes and added up in its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from runtime.errors import printable
from runtime.link import flower
from runtime.link.grid_base import as_they_come
from runtime.messages import ARRAYS, METRICS
from runtime.server.aggregation.replies import arrays_of, metrics_of, without_arrays
from runtime.server.aggregation.running import Running
from runtime.server.aggregation.validation import Sorted, decoded
from runtime.updates import UpdateRefusedError


def exchange(
    grid: Grid,
    sent: list[Message],
    seconds: float,
    check: Callable[[Message], None],
    running: Running | None,
) -> Sorted:
    """Ask for updates; return those that may be used, in the order of their nodes whoever was faster.

    A reply is checked whole before its first number is added. One that came before its turn waits for it;
    one that was added is let go of.

    Parameters
    ----------
    check
        Raises UpdateRefusedError for a reply that may not be used.
    running
        Adds the updates up, and the result has one reply that stands for all; None where the strategy has to
        see each of them.
    """
    turns = deque(sorted(message.metadata.dst_node_id for message in sent))
    judged: dict[int, Message | None] = {}
    refused: dict[int, str] = {}
    sizes: dict[int, int] = {}
    accepted: list[Message] = []
    for reply in as_they_come(grid, sent, seconds):
        node = reply.metadata.src_node_id
        sizes[node], judged[node] = flower.size_of(reply), reply
        try:
            check(reply)
        except UpdateRefusedError as error:
            refused[node], judged[node] = printable(error), None
        del reply
        while turns and turns[0] in judged:
            accepted += _added(judged.pop(turns.popleft()), running)
    for node in turns:  # with another engine, who is not there answers nothing at all
        accepted += _added(judged.pop(node, None), running)
    return Sorted(accepted, refused, _standing_for(accepted, running), sizes)


def _added(reply: Message | None, running: Running | None) -> list[Message]:
    """Add a reply up, if it is one; return what is kept of it."""
    if reply is None or running is None:
        return [] if reply is None else [reply]
    rows = metrics_of(reply.content)[METRICS]["num-examples"]
    running.take(decoded(arrays_of(reply.content)[ARRAYS]), int(rows))  # type: ignore[arg-type]
    return [without_arrays(reply)]


def _standing_for(accepted: list[Message], running: Running | None) -> list[Message]:
    if running is None or not accepted:
        return []
    content = RecordDict({ARRAYS: running.record(), METRICS: MetricRecord({"num-examples": running.weight})})
    nodes = [reply.metadata.src_node_id for reply in accepted]
    return [flower.answer_of(nodes, "train", content)]
