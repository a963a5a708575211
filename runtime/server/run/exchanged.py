"""What became of an app's messages: who answered, and the curves of the replies' metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flwr.app import Message

from runtime.privacy.averaged_reply import WEIGHT
from runtime.server.aggregation.replies import metrics_of

SHOWN_METRICS: Final = 200
"""Different metrics that a run's curves are kept of."""


@dataclass
class Exchanged:
    """What became of messages that were sent together.

    Parameters
    ----------
    kind
        The kind of the messages.
    round
        The strategy's own number, or how many of the kind there were.
    clients
        For each client that was asked: "ok", "in the sum", or why its reply cannot be used.
    metrics
        Means of the numeric metrics of the replies, weighted by their examples where they say so.
    """

    kind: str
    round: int
    seconds: float
    clients: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    weights: float | None = None

    @property
    def usable(self) -> int:
        """How many replies can be used."""
        return sum(said in USABLE for said in self.clients.values())


USABLE: Final = frozenset({"ok", "in the sum"})


def weight_of(reply: Message) -> float | None:
    """Return how many examples a reply says that it is from; None, where it does not say."""
    for metrics in metrics_of(reply.content).values():
        weight = metrics.get(WEIGHT)
        if isinstance(weight, (int, float)):
            return float(weight)
    return None


def means(replies: Sequence[Message]) -> dict[str, float]:
    """Return the means of the replies' numeric metrics, weighted as Flower's strategies do."""
    values: dict[str, list[tuple[float, float]]] = {}
    for reply in replies:
        weight = weight_of(reply)
        for metrics in metrics_of(reply.content).values():
            for name, value in metrics.items():
                if isinstance(value, (int, float)) and name != WEIGHT:
                    values.setdefault(name, []).append((1.0 if weight is None else weight, float(value)))
    return {
        name: sum(w * v for w, v in pairs) / total
        for name, pairs in list(values.items())[:SHOWN_METRICS]
        if (total := sum(w for w, _ in pairs)) > 0
    }


def curves(exchanges: Sequence[Exchanged]) -> Mapping[str, list[tuple[int, float]]]:
    """Return every metric of the replies over the rounds, by kind and name."""
    found: dict[str, list[tuple[int, float]]] = {}
    for one in exchanges:
        for name, value in one.metrics.items():
            found.setdefault(f"{one.kind}: {name}", []).append((one.round, value))
    return found


def weightless(exchanges: Sequence[Exchanged]) -> str:
    """Say that the last replies weigh nothing together, where they do: strategies divide by that."""
    if not exchanges or exchanges[-1].weights != 0:
        return ""
    last = exchanges[-1]
    return f" The replies to {last.kind!r} have {WEIGHT} that add up to 0: {', '.join(last.clients)}."
