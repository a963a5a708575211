"""The Grid that any app's ServerApp is given: watched, bounded in time, summed where clients want sums."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid

from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp, kind_of
from runtime.link import flower
from runtime.messages import Releases
from runtime.server.aggregation.replies import arrays_of, metrics_of, view
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.server.aggregation.validation import reason_of
from runtime.server.engines.grid_around import GridAround
from runtime.server.run.exchanged import USABLE, Exchanged, means, weight_of
from runtime.updates import UpdateRefusedError

SERVER_ROUND: Final = "server-round"
"""What Flower's strategies call the number of a round in a message's config."""

OnExchanged = Callable[[Exchanged], None]


class AppGrid(GridAround):
    """Hand on messages and replies, and keep what is to be known of them.

    Parameters
    ----------
    grid
        What carries the messages.
    names
        The client's name for each of Flower's node ids.
    wait_seconds
        Asked each time how long replies may be waited for.
    quorum
        Of all clients, how many usable replies are needed; of fewer that are asked, all.
    on_exchanged
        Told what became of the messages.
    aggregation
        The sums of the run; None where replies are seen one by one.
    """

    def __init__(
        self,
        grid: Grid,
        app: FlowerApp,
        names: Callable[[int], str],
        wait_seconds: Callable[[], float],
        quorum: int,
        on_exchanged: OnExchanged,
        aggregation: SecureAggregation | None = None,
    ) -> None:
        super().__init__(grid)
        self._app, self._names = app, names
        self._wait_seconds, self._quorum, self._on_exchanged = wait_seconds, quorum, on_exchanged
        self._aggregation = aggregation
        self._counts: dict[str, int] = {}
        self._pushed: dict[str, Message] = {}
        self._summed: dict[str, Message] = {}

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that take part."""
        return list(self._aggregation.members if self._aggregation else self._grid.get_node_ids())

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; return the ids that their replies are pulled by. A sum is waited for here."""
        sent = self._checked(messages)
        if self._aggregation is not None and sent and self._released(sent) is not Releases.NOTHING:
            ids = [f"sum-{len(self._summed) + number}" for number in range(len(sent))]
            self._summed[ids[0]] = self._exchange(sent, None)[0]
            return ids
        ids = list(self._grid.push_messages(sent))
        self._pushed.update(zip(ids, sent, strict=True))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have come so far."""
        asked = list(message_ids)
        found = [self._summed.pop(one) for one in asked if one in self._summed]
        replies = list(self._grid.pull_messages([one for one in asked if one in self._pushed]))
        for reply in replies:
            sent = self._pushed.pop(reply.metadata.reply_to_message_id, None)
            if sent is not None:
                found += self._judge([sent], [reply], 0.0)
        return found

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return what came back: one reply each, or the one that a sum stands for.

        Raises
        ------
        FedstackError
            With ExitCode.QUORUM, when fewer replies can be used than the run needs.
        """
        sent = self._checked(messages)
        return self._exchange(sent, timeout) if sent else []

    def _exchange(self, sent: list[Message], timeout: float | None) -> list[Message]:
        started = time.perf_counter()
        if self._aggregation is not None and self._released(sent) is not Releases.NOTHING:
            return self._sum(sent, started)
        wait = self._wait_seconds()
        seconds = wait if timeout is None else min(timeout, wait)
        replies = list(self._grid.send_and_receive(sent, timeout=seconds))
        return self._judge(sent, replies, time.perf_counter() - started)

    def _sum(self, sent: list[Message], started: float) -> list[Message]:
        """Have everybody's answer in one sum, whoever was sampled: it shows less than a sum of fewer."""
        assert self._aggregation is not None  # noqa: S101 - whoever calls this has looked
        question = sent[0]
        first = question.content
        if any(
            m.content is not first and flower.question_of(m) != flower.question_of(question) for m in sent
        ):
            raise _no_sum("clients are asked different things, whose answers cannot be summed")
        kind = question.metadata.message_type
        everybody = [Message(first, node, kind) for node in self._aggregation.members]
        content, nodes, lost = self._aggregation.average(everybody)
        clients = dict.fromkeys(map(self._names, nodes), "in the sum")
        clients |= {self._names(node): reason for node, reason in lost.items()}
        reply = flower.answer_of(nodes, kind, content)
        self._tell(question, [reply], clients, time.perf_counter() - started)
        return [reply]

    def _judge(self, sent: Sequence[Message], replies: Sequence[Message], seconds: float) -> list[Message]:
        """Replace replies that cannot be used by errors that say why."""
        by_node = {reply.metadata.src_node_id: reply for reply in replies}
        checked, clients = [], {}
        for message in sent:
            node = message.metadata.dst_node_id
            reply = by_node.get(node)
            if reply is None:
                clients[self._names(node)] = "no reply in time"
                continue
            if not reply.has_error() and (fault := _fault(reply)):
                reply = flower.error_reply(message, flower.REPLY_REFUSED, fault)
            clients[self._names(node)] = reason_of(reply) if reply.has_error() else "ok"
            checked.append(reply)
        self._tell(sent[0], checked, clients, seconds)
        return checked

    def _tell(
        self, question: Message, replies: Sequence[Message], clients: dict[str, str], seconds: float
    ) -> None:
        kind = kind_of(question.metadata.message_type)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        usable = [reply for reply in replies if not reply.has_error()]
        weights = [weight for reply in usable if (weight := weight_of(reply)) is not None]
        clients = dict(sorted(clients.items()))
        exchanged = Exchanged(
            kind=kind,
            round=_round_of(question) or self._counts[kind],
            seconds=round(seconds, 4),
            clients=clients,
            metrics=means(usable),
            weights=sum(weights) if len(weights) == len(usable) and usable else None,
        )
        self._on_exchanged(exchanged)
        needed = min(self._quorum, len(clients))
        if exchanged.usable < needed:
            why = "; ".join(f"{name}: {said}" for name, said in clients.items() if said not in USABLE)
            raise FedstackError(
                ExitCode.QUORUM,
                f"{exchanged.usable} of {len(clients)} replies to {kind!r} can be used, {needed} are needed "
                f"({why}).",
                "Mend the clients named, then run again; or lower min_clients.",
            )

    def _checked(self, messages: Iterable[Message]) -> list[Message]:
        """Refuse a message to nobody, which the link could not deliver."""
        sent = list(messages)
        there = set(self._grid.get_node_ids()) if sent else set()
        if gone := getattr(self._grid, "gone", None):  # an app may ask the nodes once, and go on with those
            there |= set(gone())
        if strangers := sorted({m.metadata.dst_node_id for m in sent} - there):
            names = ", ".join(self._names(node) for node in strangers)
            raise FedstackError(
                ExitCode.SERVER_APP,
                f"The app sent a message to {names}, which is not among the run's nodes.",
                "Let it ask grid.get_node_ids().",
            )
        return sent

    def _released(self, sent: Sequence[Message]) -> Releases:
        """Return what the answers release; under sums it must be sums, or nothing."""
        kind = kind_of(sent[0].metadata.message_type)
        releases = self._app.released_by(kind)
        if releases not in (Releases.NOTHING, Releases.SUMS):
            declared = f"declares {releases.value!r}" if kind in self._app.releases else "does not declare"
            raise _no_sum(f"the app {declared} for its messages {kind!r}")
        return releases


def _no_sum(why: str) -> FedstackError:
    return FedstackError(
        ExitCode.PRIVACY_POLICY,
        f"Updates leave only in sums, and {why}.",
        'Declare it in the app\'s pyproject.toml ([tool.fedstack.messages] KIND = "sums"), or let every '
        "client's owner write `updates: plain` (docs/your-own-app.md).",
    )


def _fault(reply: Message) -> str | None:
    """Return why a reply cannot be used: a number that is none, or an array that cannot be read."""
    try:
        for record in arrays_of(reply.content).values():
            for name, array in record.items():
                values = view(array)
                if not isinstance(values, np.ndarray):
                    raise UpdateRefusedError(f"{name!r} is an archive")
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise UpdateRefusedError(f"{name!r} has numbers that are not finite")
        for metrics in metrics_of(reply.content).values():
            for name, value in metrics.items():
                numbers = value if isinstance(value, list) else [value]
                if not all(map(math.isfinite, numbers)):
                    raise UpdateRefusedError(f"the metric {name!r} is not finite")
    except UpdateRefusedError as error:
        return str(error)
    except Exception as error:  # numpy raises many kinds for a malformed array
        return f"an array cannot be decoded: {type(error).__name__}"
    return None


def _round_of(message: Message) -> int:
    for record in message.content.config_records.values():
        number = record.get(SERVER_ROUND)
        if type(number) is int:
            return number
    return 0
