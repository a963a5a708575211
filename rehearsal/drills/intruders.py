"""What somebody does to the server's port who may reach it: connections and streams that say nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import grpc

from runtime.link import identity, limits, wire
from runtime.link.identity import Identity

CONNECT_SECONDS: Final = 10.0


@contextmanager
def idle_connections(address: str, count: int) -> Iterator[list[socket.socket]]:
    """Hold so many TCP connections that say nothing, each until the server closes it."""
    limits.raise_file_limit()
    host, _, port = address.rpartition(":")
    with ExitStack() as stack:
        held = []
        for _ in range(count):
            with suppress(OSError):  # refused: the drill asks what becomes of the others
                held.append(stack.enter_context(socket.create_connection((host, int(port)), CONNECT_SECONDS)))
        yield held


class Stream:
    """One stream over a connection of its own that says what it is told to, and then nothing.

    Parameters
    ----------
    server
        The server's certificate.
    own
        Whom the stream speaks for.
    frames
        What it says at once, as fast as it may.
    """

    def __init__(self, address: str, server: bytes, own: Identity, frames: Iterable[bytes] = ()) -> None:
        credentials = grpc.ssl_channel_credentials(server, own.key, own.certificate)
        options = (
            *wire.CHANNEL_OPTIONS,
            ("grpc.ssl_target_name_override", identity.SERVER_NAME),
            ("grpc.use_local_subchannel_pool", 1),  # or streams share a connection
        )
        self._channel = grpc.secure_channel(address, credentials, options)
        self._over = threading.Event()
        self._frames = frames
        self.answers: Any = self._channel.stream_stream(wire.METHOD)(self._say(), wait_for_ready=True)

    def _say(self) -> Iterator[bytes]:
        yield from self._frames
        self._over.wait()

    def open(self) -> bool:
        """Return whether the server has not ended it."""
        return bool(self.answers.is_active())

    def close(self) -> None:
        """Hang up."""
        self._over.set()
        self._channel.close()


@contextmanager
def streams(
    count: int, address: str, server: bytes, own: Identity, frames: Sequence[bytes] = ()
) -> Iterator[list[Stream]]:
    """Hold so many streams of one certificate."""
    with ExitStack() as stack:
        held = []
        for _ in range(count):
            held.append(Stream(address, server, own, frames))
            stack.callback(held[-1].close)
        yield held
