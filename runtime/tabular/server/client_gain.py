"""What each client gains: it scores the final model, and one of its own, on the rows that it keeps back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.messages import MessageType
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.server.aggregation.validation import sort_replies
from runtime.tabular.client_gain import names_of, nested, undefined_of
from runtime.tabular.columns.columns import Task
from runtime.tabular.server.settings import RunSettings
from runtime.tabular.task_scores import lead_of
from runtime.updates import UpdateRefusedError

ENDED_EARLY: Final = "not asked for: the run ended before its final model"
TOO_FEW: Final = (
    "told by nobody: only sums leave a client, and fewer than three have enough rows of every label in their "
    "hold-out; each keeps its own in value.json"
)


@dataclass(frozen=True)
class Value:
    """What the report says of it.

    Parameters
    ----------
    clients
        By name: rows and positives of the hold-out, and the scores of each model.
    missing
        Why nobody was asked; None when all were.
    summed
        Where only sums leave a client: how many `clients` answered, of how many the interval of the gain lies
        `above` and `below` zero, and the mean of the task's first `score` of both models.
    """

    clients: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    missing: str | None = ENDED_EARLY
    summed: Mapping[str, Any] | None = None


def why_not(settings: RunSettings) -> str | None:
    """Return why clients may not be asked, or cannot answer; None if they can."""
    if settings.privacy_epsilon is not None:
        return "not asked for: under differential privacy no score of a client may leave it"
    if not settings.validation:
        return "not asked for: with --validation 0 no client keeps rows back"
    return None


def ask(
    grid: Grid,
    nodes: Sequence[int],
    content: RecordDict,
    rounds: int,
    seconds: float,
    task: Task,
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
    sent = [Message(asked, node, MessageType.CLIENT_GAIN.value) for node in nodes]
    answers = grid.send_and_receive(sent, timeout=seconds)
    replies = sort_replies(answers, names_of(task), undefined=undefined_of(task))
    refused, found = dict(replies.refused), dict[int, dict[str, Any]]()
    for reply in replies.accepted:
        node = reply.metadata.src_node_id
        try:
            found[node] = nested(reply.content.metric_records["metrics"], task)
        except UpdateRefusedError as error:
            refused[node] = printable(error)
    for node in nodes:
        if node not in found:
            lost(node, refused.get(node, "no reply in time"))
    return found


def ask_for_sum(aggregation: SecureAggregation, content: RecordDict, rounds: int, task: Task) -> Value:
    """Ask how many clients gain, and for their mean scores, as a sum that names nobody.

    A client with too few rows of a label in its hold-out has no part in it, and keeps its figures to itself.
    """
    config = ConfigRecord({**content.config_records["config"], "rounds": rounds})
    asked = RecordDict({**content, "config": config})
    sent = [Message(asked, node, MessageType.CLIENT_GAIN.value) for node in aggregation.members]
    try:
        summed = aggregation.sum(sent, ArrayRecord({"gain": Array(np.zeros(5))}), frozenset())
    except FedstackError as error:
        if error.code != ExitCode.QUORUM:
            raise
        return Value(missing=TOO_FEW)
    clients, above, below, local, federated = summed.vector.arrays["gain"]
    counts = {"clients": round(clients), "above": round(above), "below": round(below)}
    means = {"local_only": float(local / clients), "federated": float(federated / clients)}
    return Value(missing=None, summed={"score": lead_of(task), **counts, **means})
