"""A client that lies, and what the strategies that survive it are told."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Message

ROBUST: dict[str, dict[str, float]] = {
    "fedmedian": {},
    "fedtrimmedavg": {"beta": 0.2},
    "krum": {"num_malicious_nodes": 1},
    "multikrum": {"num_malicious_nodes": 1, "num_nodes_to_select": 4},
    "bulyan": {"num_malicious_nodes": 1},
}
"""The robust strategies' options for one liar of seven clients."""


def lie(reply: Message) -> Message:
    """Send the opposite of what was learnt, a hundred times over."""
    arrays = reply.content.array_records["arrays"]
    reply.content["arrays"] = ArrayRecord(
        {name: Array(-100 * array.numpy()) for name, array in arrays.items()}
    )
    return reply
