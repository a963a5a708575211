"""The floor: the same bytes over bare gRPC streams with the same TLS, options, chunks and processes.

Nothing is assembled, checked or kept: a receiver counts bytes.
"""

from __future__ import annotations

import queue
import struct
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any, Final

import grpc

from bench.child import Marks, Usage, forget_peak, memory_mb, say, told
from runtime.link import identity, wire

HEAD: Final = struct.Struct(">QQ")
SERVICE, METHOD = wire.METHOD.strip("/").split("/")
Orders = queue.SimpleQueue[tuple[int, int] | None]


class Streams:
    """The server's end of every stream: tell all what to carry, wait until all have."""

    def __init__(self, clients: int) -> None:
        self.payload = b""
        self._clients, self._answered = clients, 0
        self._orders: list[Orders] = []
        self._changed = threading.Condition()

    def converse(self, frames: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
        orders: Orders = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(frames, orders), daemon=True).start()
        while (order := orders.get()) is not None:
            yield from cut(HEAD.pack(*order), self.payload, order[0])

    def _listen(self, frames: Iterator[bytes], orders: Orders) -> None:
        next(frames)
        with self._changed:
            self._orders.append(orders)
            self._changed.notify_all()
        try:
            for total in assembled(frames):
                del total
                with self._changed:
                    self._answered += 1
                    self._changed.notify_all()
        except grpc.RpcError:
            pass

    def wait_for_all(self, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._orders) == self._clients, seconds):
                raise TimeoutError(f"only {len(self._orders)} came")

    def carry(self, down: int, up: int) -> float:
        """Send every client so many bytes and get so many back from each; return the seconds it took."""
        started = time.perf_counter()
        with self._changed:
            self._answered = 0
            for orders in self._orders:
                orders.put((down, up))
            if not self._changed.wait_for(lambda: self._answered == self._clients, 300):
                raise TimeoutError("not everybody answered")
        return time.perf_counter() - started

    def end(self) -> None:
        for orders in self._orders:
            orders.put(None)


def cut(head: bytes, payload: bytes, total: int) -> Iterator[bytes]:
    """Cut a head and so many bytes of payload into the link's chunks."""
    view = memoryview(payload)[:total]
    first = wire.CHUNK - len(head)
    yield b"".join((head, view[:first]))
    for at in range(first, total, wire.CHUNK):
        yield bytes(view[at : at + wire.CHUNK])


def assembled(frames: Iterator[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the head of every message when its last byte has come."""
    for frame in frames:
        head = HEAD.unpack(frame[: HEAD.size])
        missing = head[0] - (len(frame) - HEAD.size)
        while missing > 0:
            missing -= len(next(frames))
        yield head


def serve() -> None:
    order = told()
    own = identity.make_identity(identity.SERVER_NAME, 3600)
    streams = Streams(len(order["certificates"]))
    pool = futures.ThreadPoolExecutor(2 * len(order["certificates"]) + 2)
    listener = grpc.server(pool, options=wire.CHANNEL_OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(streams.converse)
    listener.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    roots = "".join(order["certificates"].values()).encode()
    credentials = grpc.ssl_server_credentials([(own.key, own.certificate)], roots, require_client_auth=True)
    port = listener.add_secure_port("127.0.0.1:0", credentials)
    listener.start()
    say(address=f"127.0.0.1:{port}", certificate=own.certificate.decode())
    streams.wait_for_all(60)
    work = told()
    say(**(rounds(streams, **work) if "rounds" in work else bulk(streams, **work)))
    streams.end()
    listener.stop(1).wait()


def rounds(streams: Streams, rounds: int, exchanges: list[list[int]]) -> dict[str, Any]:
    """Carry what a round of the link carries, as often as it does."""
    streams.payload, marks, usage = bytes(max(down for down, _ in exchanges)), Marks(), Usage()
    for _ in range(rounds):
        for down, up in exchanges:
            streams.carry(down, up)
        marks.round_ended()
    return usage.figures(marks)


def bulk(streams: Streams, mb: int, repeats: int) -> dict[str, Any]:
    """Carry a payload down and up."""
    size, streams.payload = mb * 10**6, bytes(100)
    streams.carry(100, 100)
    streams.carry(100, 100)
    baseline = memory_mb("VmRSS")
    streams.payload = b"\1" * size
    forget_peak()
    return {
        "down": [streams.carry(size, 100) for _ in range(repeats)],
        "up": [streams.carry(100, size) for _ in range(repeats)],
        "baseline": baseline,
        "peak": memory_mb("VmHWM"),
    }


def host() -> None:
    order = told()
    own = {name: identity.make_identity(name, 3600) for name in order["names"]}
    say(certificates={name: one.certificate.decode() for name, one in own.items()})
    place = told()
    threads = [threading.Thread(target=answer, args=(place, one)) for one in own.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def answer(place: dict[str, str], own: identity.Identity) -> None:
    """Answer every message with as many bytes as it asks for."""
    credentials = grpc.ssl_channel_credentials(place["certificate"].encode(), own.key, own.certificate)
    options = (*wire.CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", identity.SERVER_NAME))
    replies: queue.SimpleQueue[int] = queue.SimpleQueue()
    with grpc.secure_channel(place["address"], credentials, options=options) as channel:
        for _, up in assembled(channel.stream_stream(wire.METHOD)(outgoing(replies), timeout=1200)):
            replies.put(up)


def outgoing(replies: queue.SimpleQueue[int]) -> Iterator[bytes]:
    yield b"\0"
    payload = b""
    while True:
        total = replies.get()
        payload = payload if len(payload) >= total else b"\1" * total
        yield from cut(HEAD.pack(total, 0), payload, total)


if __name__ == "__main__":
    {"serve": serve, "host": host}[sys.argv[1]]()
