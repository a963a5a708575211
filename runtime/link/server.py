"""The server's end of the link: a gRPC server that only certificates of this run's roster can open."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

import grpc

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.link import identity, limits, wire
from runtime.link.conversation import PARTING_SECONDS, Conversation
from runtime.link.exchange import Exchange
from runtime.link.limits import STREAMS_EACH, StreamLimit
from runtime.link.versions import BUILT_IN

REBIND_SECONDS: Final = 10.0
RENEW_SECONDS: Final = 0.1
"""How often it is looked whether the listener still is one."""
WATCH_SECONDS: Final = 1.0
CROWD: Final = 64
"""Connections beyond those that the clients need, from which on it is said that there are so many."""

T = TypeVar("T")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop that all streams of this process are held in, by a thread of its own.

    One thread for all of them: gRPC's other server has two for each, and they cost more than the messages
    do (docs/performance.md). gRPC wants all that it does in one loop.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True, name="link").start()
    return loop


def _in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Do something in the streams' loop and return what comes of it."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


class LinkServer:
    """Accept the roster's clients over mutual TLS and carry the exchange's messages to and from them.

    Parameters
    ----------
    exchange
        The run's roster and messages.
    own
        The server's identity for this run.
    roster
        The names that may be trusted; one conversation each at a time.
    run_seconds
        How long a conversation may take.
    app
        Digest of the app that is run, which the clients' must be, too.
    told
        What each client is told of the run at the handshake.
    """

    def __init__(
        self,
        exchange: Exchange,
        own: identity.Identity,
        roster: list[str],
        run_seconds: float,
        *,
        app: str = BUILT_IN,
        told: Callable[[str], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self._exchange, self._own, self._run_seconds = exchange, own, run_seconds
        self._app, self._told = app, told
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="link-digests")
        self._limit, self._roster = StreamLimit(), roster
        self._connections = limits.connections_for(limits.raise_file_limit(), len(roster))
        self._over = threading.Event()
        self._trusted: dict[str, tuple[str, bytes]] = {}
        self._address = ""
        self._listener: grpc.aio.Server | None = None
        self._earlier: dict[grpc.aio.Server, asyncio.Task[None]] = {}
        """Listeners whose conversations go on, and what ends them."""
        self._turn = asyncio.Lock()
        """Held by whoever changes the listener."""

    def start(self, address: str) -> int:
        """Listen, at first for nobody; return the port, which is the one asked for unless that was 0."""
        host = address.rpartition(":")[0]
        port = _in_loop(self._listen(address))
        self._address = f"{host}:{port}"
        asyncio.run_coroutine_threadsafe(self._renew_when_broken(), _loop())
        watch = functools.partial(self._watch_connections, limits.open_files())
        threading.Thread(target=watch, daemon=True, name="connections").start()
        return port

    def trust(self, certificates: Mapping[str, bytes]) -> dict[str, str]:
        """Let clients in by their certificates, in place of earlier ones; return their fingerprints.

        What is no certificate, or another client's, is refused: one client must not lock out the others.

        Each set of certificates gets a listener of its own, in turn on the one port; conversations of
        the earlier one go on. gRPC could swap the set under a running listener, but that crashes when
        two clients shake hands at that moment (docs/adr/0002).
        """
        before = self._trusted
        for name, pem in certificates.items():
            try:
                self._trusted = self._trusted | {name: self._examined(name, pem)}
            except ValueError as error:
                self._exchange.note("certificate_refused", client=name, reason=printable(error, 200))
        if self._trusted == before:
            return {}
        _in_loop(self._listen_anew())
        return {name: one[0] for name, one in self._trusted.items() if before.get(name) != one}

    def _examined(self, name: str, pem: bytes) -> tuple[str, bytes]:
        """Return a certificate's fingerprint and its PEM alone, or raise ValueError."""
        shown = identity.fingerprint(pem)
        for other, (theirs, _) in self._trusted.items():
            if other != name and theirs == shown:
                raise ValueError(f"it is the certificate of {other}")
        return shown, identity.only_certificate(pem)

    def stop(self) -> None:
        """Let the conversations end and close the port."""
        self._over.set()
        self._exchange.wait_for_partings(PARTING_SECONDS)
        _in_loop(self._stop_listeners())
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _stop_listeners(self) -> None:
        async with self._turn:
            servers = [*self._earlier, *([self._listener] if self._listener else [])]
            await asyncio.gather(*(server.stop(1.0) for server in servers))

    async def _listen_anew(self) -> None:
        async with self._turn:
            await self._renew()

    async def _renew(self) -> None:
        """Put a listener in the place of the one that there is, whose conversations go on."""
        if self._over.is_set() or (server := self._listener) is None:
            return
        stopping = asyncio.ensure_future(server.stop(self._run_seconds))
        self._earlier[server] = stopping
        stopping.add_done_callback(lambda _: self._earlier.pop(server, None))
        await self._listen(self._address)

    async def _renew_when_broken(self) -> None:
        """Listen anew once gRPC has given up: it does, for all, after a call whose method is no text."""
        while not self._over.is_set():
            await asyncio.sleep(RENEW_SECONDS)
            async with self._turn:
                try:
                    if self._listener:
                        await self._listener.start()  # does nothing, unless it has stopped
                except grpc.aio.UsageError:
                    reason = "gRPC had given up; who was connected stays"
                    self._exchange.note_once("listener_renewed", reason=reason)
                    with suppress(FedstackError):  # another process has the port now: it is tried again
                        await self._renew()

    async def _listen(self, address: str) -> int:
        handler = grpc.stream_stream_rpc_method_handler(self._converse)
        service, method = wire.METHOD.strip("/").split("/")
        # gRPC refuses to ask for certificates without roots; with nobody trusted, only our own key would do.
        roots = b"".join(pem for _, pem in self._trusted.values()) or self._own.certificate
        credentials = grpc.ssl_server_credentials(
            [(self._own.key, self._own.certificate)], root_certificates=roots, require_client_auth=True
        )
        own = limits.server_options(self._connections)
        options = (*wire.CHANNEL_OPTIONS, *own, ("grpc.so_reuseport", 0))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + REBIND_SECONDS
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        while True:
            try:
                port = server.add_secure_port(address, credentials)
            except RuntimeError as error:  # the earlier listener is still closing
                if not self._address or loop.time() > deadline:
                    raise FedstackError(
                        ExitCode.CONFIG,
                        f"Cannot listen on {address}: {error}.",
                        "Choose another port, or end the process that has this one.",
                    ) from error
                await asyncio.sleep(0.02)
            else:
                await server.start()
                self._listener = server
                return int(port)

    def _name_of(self, certificate: str) -> str | None:
        """Return the client whose certificate this is the fingerprint of."""
        names = (name for name, (trusted, _) in self._trusted.items() if trusted == certificate)
        return next(names, None)

    async def _converse(
        self, _: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        certificate = identity.fingerprint(next(iter(context.auth_context()["x509_pem_cert"])))
        name = self._name_of(certificate)
        if name is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this certificate is not of this run")
            raise AssertionError  # abort() raises
        if refusal := self._limit.enter(name):
            self._exchange.note_once("stream_refused", client=name, reason=refusal)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, refusal)
        # Not when the conversation is over: what a client does not read keeps its stream open.
        context.add_done_callback(lambda _: self._limit.leave(name))
        told = (self._app, self._told)
        await Conversation(self._exchange, name, certificate, *told, context, self._threads).hold()

    def _watch_connections(self, before: int) -> None:
        """Say, once each, that far more connections are open than clients need, and that more are refused.

        gRPC closes and refuses them silently; each is an open file of this process.
        """
        clients = len(self._roster)
        plenty = CROWD + STREAMS_EACH * clients
        while not self._over.wait(WATCH_SECONDS):
            count = limits.open_files() - before
            if count > plenty:
                self._exchange.note_once(
                    "idle_connections",
                    reason=f"{count:,} connections are open, {clients} clients need {plenty} at most; one "
                    f"that has not shaken hands after {limits.HELLO_SECONDS:g} s is closed",
                )
            if count >= self._connections:
                self._exchange.note_once(
                    "connections_refused", reason=f"more than {self._connections:,} at once are not accepted"
                )
