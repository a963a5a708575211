"""What each client gains: it scores the final model, and one of its own, on the rows that it keeps back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from runtime.server.guard import shown, sort_replies
from runtime.server.settings import RunSettings
from runtime.task.updates import UpdateRefusedError
from runtime.task.value import NAMES, nested

ENDED_EARLY: Final = "not asked for: the run ended before its final model"


@dataclass(frozen=True)
class Value:
    """What the report says of it.

    Parameters
    ----------
    clients
        By name: rows and positives of the hold-out, and the scores of each model.
    missing
        Why nobody was asked; None when all were.
    """

    clients: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    missing: str | None = ENDED_EARLY


def why_not(settings: RunSettings) -> str | None:
    """Return why clients may not be asked, or cannot answer; None if they can."""
    private = {
        "differential privacy": settings.privacy_epsilon is not None,
        "secure aggregation": settings.secure_aggregation,
    }
    if names := " and ".join(name for name, on in private.items() if on):
        return f"not asked for: under {names} no score of a client may leave it"
    if not settings.validation:
        return "not asked for: with --validation 0 no client keeps rows back"
    return None


def ask(
    grid: Grid,
    nodes: Sequence[int],
    content: RecordDict,
    rounds: int,
    seconds: float,
    lost: Callable[[int, str], None],
) -> dict[int, dict[str, Any]]:
    """Ask every client; who is late, or answers what cannot be, costs its own figures only.

    Parameters
    ----------
    content
        The final model and how clients fit.
    rounds
        How many were played: a client's own model is fitted as long.
    lost
        Called as `lost(node, reason)` for each client without figures.

    Returns
    -------
    dict
        The figures by node.
    """
    config = ConfigRecord({**content.config_records["config"], "rounds": rounds})
    asked = RecordDict({**content, "config": config})
    sent = [Message(asked, node, "query.value") for node in nodes]
    replies = sort_replies(grid.send_and_receive(sent, timeout=seconds), NAMES)
    refused, found = dict(replies.refused), dict[int, dict[str, Any]]()
    for reply in replies.accepted:
        node = reply.metadata.src_node_id
        try:
            found[node] = nested(reply.content.metric_records["metrics"])
        except UpdateRefusedError as error:
            refused[node] = shown(str(error))
    for node in nodes:
        if node not in found:
            lost(node, refused.get(node, "no reply in time"))
    return found
