"""A link in one process: a LinkServer and LinkClients, in threads, over real mutual TLS on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict

from rehearsal.link.waiting import PATIENCE, eventually
from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.link.client import Handler, LinkClient
from runtime.link.exchange import Exchange
from runtime.link.grid import LinkGrid
from runtime.link.identity import SERVER_NAME, Identity, make_identity
from runtime.link.server import LinkServer
from runtime.link.wire import Kind


class Running:
    """A LinkClient in a thread, and how it ended."""

    def __init__(self, client: LinkClient) -> None:
        self.error: BaseException | None = None
        self._client = client
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._client.run()
        except BaseException as error:
            self.error = error

    def end(self) -> BaseException | None:
        """Wait for the end; return what was raised, None for the orderly end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the client does not end"
        return self.error


class Hub:
    """A server on loopback, its roster, and what it told."""

    def __init__(self, *names: str) -> None:
        self.names, self.told = list(names), list[tuple[str, dict[str, Any]]]()
        self.exchange = Exchange(self.names)
        self.exchange.watch(lambda kind, **details: self.told.append((kind, details)))
        self.trusted: dict[str, Identity] = {}
        self.own = make_identity(SERVER_NAME, 600)
        self.server = LinkServer(self.exchange, self.own, self.names, 600)
        self.address = f"127.0.0.1:{self.server.start('127.0.0.1:0')}"
        self.grid = LinkGrid(self.exchange, min_clients=1, patience_seconds=PATIENCE)

    def enrol(self, *names: str) -> dict[str, Identity]:
        """Make identities and trust them, all at once."""
        made = {name: make_identity(name, 600) for name in names}
        self.server.trust({name: own.certificate for name, own in made.items()})
        self.trusted |= made
        return made

    def client(self, own: Identity, handler: Handler, **options: Any) -> Running:
        """Start a client."""
        settings: dict[str, Any] = {
            "address": self.address,
            "server_fingerprint": self.own.fingerprint,
            "run_seconds": 600,
            "give_up_seconds": PATIENCE,
        } | options
        return Running(LinkClient(own=own, handler=handler, **settings))

    def start(self, handlers: Mapping[str, Handler]) -> dict[str, Running]:
        """Enrol and start clients, and wait until all of them are there."""
        made = self.enrol(*handlers)
        running = {name: self.client(made[name], handler) for name, handler in handlers.items()}
        self.await_event("joined", *handlers)
        return running

    def count(self, kind: str, name: str) -> int:
        """Count an event of a client."""
        return sum(told == kind and details.get("client") == name for told, details in self.told)

    def await_event(self, kind: str, *names: str, times: int = 1) -> None:
        """Wait until the server has told an event of each of these clients."""
        for name in names:
            eventually(lambda name=name: self.count(kind, name) >= times, f"{name} {kind}")  # type: ignore[misc]

    def ask(
        self, names: Iterable[str], content: RecordDict | None = None, timeout: float | None = None
    ) -> list[Message]:
        """Send one message to each and return the replies."""
        messages = [Message(content or RecordDict(), flower.number_of(name), "train") for name in names]
        return list(self.grid.send_and_receive(messages, timeout=timeout))

    def close(self) -> None:
        """End whatever still runs."""
        self.exchange.end(Kind.END)
        self.server.stop()


def arrays(size: int, value: float = 0.0) -> RecordDict:
    """Return a content of one array with so many bytes of numbers."""
    return RecordDict({"arrays": ArrayRecord({"w": Array(np.full(size // 8, value))})})


def echo(message: Message) -> Message:
    """Reply with what was sent."""
    return Message(message.content, reply_to=message)


def code_of(error: BaseException | None) -> ExitCode:
    """Return the exit code of the failure that a client ended with."""
    assert isinstance(error, FedstackError)
    return error.code


class Counting:
    """A handler that counts how often each message was handled."""

    def __init__(self, reply: RecordDict | None = None) -> None:
        self.calls: list[str] = []
        self._reply = reply

    def __call__(self, message: Message) -> Message:
        """Count, and reply with what was sent or what was asked for."""
        self.calls.append(message.metadata.message_id)
        return Message(self._reply or message.content, reply_to=message)
