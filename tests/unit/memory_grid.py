"""Flower's Grid in one process: the real ClientApp is called for every message, nothing in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from runtime.client.app import app
from runtime.link import flower
from runtime.link.client import handle_with

Poison = Callable[[Message], Message]


class MemoryGrid(Grid):
    """Nodes named by their silo's file.

    `poison` may change what some of them reply to training, `nodes` adds to their configs, and messages that
    `drop` says so of get no reply, as those to a client that is gone.
    """

    def __init__(
        self,
        silos: Mapping[str, Path],
        poison: Mapping[str, Poison] | None = None,
        nodes: Mapping[str, Mapping[str, Any]] | None = None,
        drop: Callable[[Message], bool] = lambda _: False,
    ) -> None:
        self._run = flower.adopt_identity(1)
        self._poison = {flower.number_of(name): change for name, change in (poison or {}).items()}
        self._handlers = {
            flower.number_of(name): handle_with(
                app,
                Context(
                    1,
                    flower.number_of(name),
                    {"name": name, "data": str(path), **(nodes or {}).get(name, {})},
                    RecordDict(),
                    {},
                ),
            )
            for name, path in silos.items()
        }
        self.messages = 0
        self._drop = drop
        self.replies: list[Message] = []

    def set_run(self, run: Run) -> None:
        self._run = run

    @property
    def run(self) -> Run:
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self._handlers)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,  # noqa: ARG002 - the grid's signature; nobody is waited for here
    ) -> Iterable[Message]:
        return [self._answer(message) for message in messages if not self._drop(message)]

    def _answer(self, message: Message) -> Message:
        self.messages += 1
        flower.stamp(message, f"message-{self.messages}")
        over_the_wire = flower.from_parts(flower.to_parts(message))
        node = message.metadata.dst_node_id
        reply = flower.from_parts(flower.to_parts(self._handlers[node](over_the_wire)))
        self.replies.append(reply)
        change = self._poison.get(node)
        trained = message.metadata.message_type.startswith("train") and not reply.has_error()
        return change(reply) if change and trained else reply
