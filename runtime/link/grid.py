"""Flower's Grid over the link: any Flower strategy drives it as it drives Flower's own engines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from flwr.app import Message

from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.link.exchange import Exchange, OnEvent
from runtime.link.grid_base import GridBase
from runtime.link.member import Presence

RUN_NUMBER: Final = 1


class LinkGrid(GridBase):
    """Send the ServerApp's messages to the roster's clients and collect their replies.

    Parameters
    ----------
    exchange
        The run's roster and messages.
    min_clients
        How many clients a round needs.
    patience_seconds
        How long a round waits for replies when it names no time of its own, and how long the run goes on
        with fewer than `min_clients` present. Flower's strategies ask for nodes without any deadline;
        this is where ours is.
    """

    def __init__(self, exchange: Exchange, *, min_clients: int, patience_seconds: float) -> None:
        super().__init__(RUN_NUMBER)
        self._exchange = exchange
        self._min_clients = min_clients
        self._patience = patience_seconds
        self._short_since: float | None = None
        self._begun = False

    def watch(self, on_event: OnEvent) -> None:
        """Hear of every client that comes, goes or is refused, from the start of the run."""
        self._exchange.watch(on_event)

    def allow(self, size: int) -> None:
        """Let replies have so many bytes."""
        self._exchange.allow(size)

    def settle(self, on_event: OnEvent) -> None:
        """End what is still open, as the last that the watcher hears of; tell another one from here on."""
        self._exchange.settle(on_event)

    def awaited(self) -> list[str]:
        """Return who may still join for the first time."""
        return [name for name, where in self._exchange.presences().items() if where is Presence.AWAITED]

    def leave_reasons(self) -> dict[str, str]:
        """Return why each client that left did so."""
        return self._exchange.leave_reasons()

    def begin(self) -> None:
        """End the time in which clients may join: from here on a quorum is missed for `patience_seconds`."""
        self._begun = True

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that take part.

        Raises
        ------
        FedstackError
            When fewer than `min_clients` have been present for too long, once the run has begun: by
            `begin`, or by its first message.
        """
        nodes = self._exchange.node_ids()
        if len(nodes) >= self._min_clients or not self._begun:
            self._short_since = None
            return nodes
        self._short_since = self._short_since or time.monotonic()
        if time.monotonic() - self._short_since >= self._patience:
            standings = ", ".join(f"{name}: {where}" for name, where in self._exchange.presences().items())
            raise FedstackError(
                ExitCode.QUORUM,
                f"{len(nodes)} clients are present, {self._min_clients} are needed ({standings}).",
                "See each missing client's job log, then run again with --resume.",
            )
        return nodes

    def gone(self) -> list[int]:
        """Return the nodes that took part and do not now: what is sent to one is answered by an error."""
        return self._exchange.gone()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; return the ids that their replies are pulled by."""
        self._begun = True
        known: flower.Bodies = {}
        return [self._exchange.post(message, known) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have come so far."""
        return self._exchange.collect(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return one reply for each, in the same order.

        A client that does not answer in time, or whose reply is refused, is an error reply with the
        reason. The order makes the sums that strategies form independent of who was faster. Whoever lets a
        whole round wait is set aside until it speaks again; a shorter time is the caller's own choice.
        """
        seconds = self._patience if timeout is None else timeout
        message_ids = list(self.push_messages(messages))
        self._exchange.wait_for_replies(message_ids, seconds)
        self._give_up(message_ids, seconds)
        return self._exchange.collect(message_ids)

    def as_they_come(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """Send messages and yield one reply for each the moment that it is there; the grid keeps none."""
        seconds = self._patience if timeout is None else timeout
        sent, deadline = list(self.push_messages(messages)), time.monotonic() + seconds
        open_ids, late = set(sent), False
        while open_ids and not late:
            replies = self._exchange.take(open_ids, max(0.0, deadline - time.monotonic()))
            if late := not replies:
                self._give_up([one for one in sent if one in open_ids], seconds)
                replies = self._exchange.take(open_ids, 0.0)
            open_ids -= {reply.metadata.reply_to_message_id for reply in replies}
            while replies:
                yield replies.pop()  # and keep no name of it

    def _give_up(self, message_ids: Iterable[str], seconds: float) -> None:
        """Answer what is not answered in time; set aside who let a whole round wait."""
        reason = f"no reply within {seconds:g} s"
        self._exchange.give_up(message_ids, reason, set_aside=seconds >= self._patience)
