"""The server's end of the link: a gRPC server that only certificates of this run's roster can open."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any, Final

import grpc

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.link import flower, identity, wire
from runtime.link.exchange import Exchange, Outbox, Pending
from runtime.link.versions import BUILT_IN, differences, versions
from runtime.link.wire import Kind

PARTING_SECONDS: Final = 10.0
REBIND_SECONDS: Final = 10.0

Receipts = collections.deque[str]
"""The ids of messages whose replies came and whose client has not heard so yet."""


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
        # A client that reconnects holds its old conversation's thread until that one ends.
        self._pool = futures.ThreadPoolExecutor(2 * len(roster) + 2, thread_name_prefix="link")
        self._trusted: dict[str, tuple[str, bytes]] = {}
        self._address = ""
        self._servers: list[grpc.Server] = []

    def start(self, address: str) -> int:
        """Listen, at first for nobody; return the port, which is the one asked for unless that was 0."""
        host = address.rpartition(":")[0]
        port = self._listen(address)
        self._address = f"{host}:{port}"
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
        self._servers[-1].stop(grace=self._run_seconds)
        self._listen(self._address)
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
        self._exchange.wait_for_partings(PARTING_SECONDS)
        for stopped in [server.stop(grace=1.0) for server in self._servers]:
            stopped.wait()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _listen(self, address: str) -> int:
        handler = grpc.stream_stream_rpc_method_handler(self._converse)
        service, method = wire.METHOD.strip("/").split("/")
        # gRPC refuses to ask for certificates without roots; with nobody trusted, only our own key would do.
        roots = b"".join(pem for _, pem in self._trusted.values()) or self._own.certificate
        credentials = grpc.ssl_server_credentials(
            [(self._own.key, self._own.certificate)], root_certificates=roots, require_client_auth=True
        )
        deadline = time.monotonic() + REBIND_SECONDS
        while True:
            server = grpc.server(self._pool, options=(*wire.CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)))
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, {method: handler}),)
            )
            try:
                port = server.add_secure_port(address, credentials)
            except RuntimeError as error:  # the earlier listener is still closing
                if not self._address or time.monotonic() > deadline:
                    raise FedstackError(
                        ExitCode.CONFIG,
                        f"Cannot listen on {address}: {error}.",
                        "Choose another port, or end the process that has this one.",
                    ) from error
                time.sleep(0.02)
            else:
                server.start()
                self._servers.append(server)
                return int(port)

    def _name_of(self, context: grpc.ServicerContext) -> tuple[str, str]:
        """Return the client that a conversation is with, and the fingerprint of its certificate."""
        shown = identity.fingerprint(context.auth_context()["x509_pem_cert"][0])
        for name, (fingerprint, _) in self._trusted.items():
            if fingerprint == shown:
                return name, shown
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "this certificate is not of this run")
        raise AssertionError  # abort() raises

    def _converse(self, frames: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        name, certificate = self._name_of(context)
        first = next(frames)
        if wire.kind_of(first) is not Kind.HELLO:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the first frame must be HELLO")
        theirs = wire.body_of(first).get("versions")
        unequal = differences(versions(self._app), theirs if isinstance(theirs, dict) else {})
        if unequal:
            self._exchange.reject(name, unequal)
            yield wire.control(Kind.REFUSED, reason=unequal)
            return
        outbox = self._exchange.join(name)
        received: Receipts = collections.deque()
        listener = _Listener(self._exchange, name, certificate, outbox, received, frames, context)
        threading.Thread(target=listener.run, daemon=True, name=f"link-{name}").start()
        open_messages = self._exchange.open_messages(name)
        yield wire.control(Kind.WELCOME, client=name, open=open_messages, run=dict(self._told(name)))
        yield from self._outgoing(name, outbox, received)

    def _outgoing(self, name: str, outbox: Outbox, received: Receipts) -> Iterator[bytes]:
        while (item := outbox.get()) is not None:
            if isinstance(item, bytes):
                yield item
            elif pending := self._exchange.pending(name, item):
                receipts = [received.popleft() for _ in range(len(received))]
                yield from wire.message_frames(item, pending.parts, receipts)


class _Listener:
    """Read what one client says until it stops saying anything."""

    def __init__(
        self,
        exchange: Exchange,
        name: str,
        certificate: str,
        outbox: Outbox,
        received: Receipts,
        frames: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> None:
        self._exchange, self._name, self._certificate = exchange, name, certificate
        self._outbox, self._received = outbox, received
        self._frames, self._context = frames, context
        self._current: wire.Assembler | None = None
        self._leave_reason: str | None = None

    def run(self) -> None:
        try:
            for frame in self._frames:
                self._take(frame)
        except wire.WireError as error:
            self._leave_reason = f"broke the protocol: {printable(error)}"
        except grpc.RpcError:
            pass  # the stream broke; the client may come back
        finally:
            self._exchange.disconnect(self._name, self._outbox, leave_reason=self._leave_reason)
            self._context.cancel()

    def _take(self, frame: bytes) -> None:
        kind = wire.kind_of(frame)
        if kind is Kind.MESSAGE:
            self._open(frame)
        elif kind is Kind.CHUNK:
            self._feed(memoryview(frame)[1:])
        elif kind is Kind.BYE:
            self._leave_reason = printable(wire.body_of(frame).get("reason", ""))
        else:
            raise wire.WireError(f"a client may not send {kind.name}")

    def _open(self, frame: bytes) -> None:
        self._current, data = wire.open_message(frame)
        pending = self._exchange.pending(self._name, self._current.message_id)
        if pending is None:
            self._done()  # nobody waits for it any more: its chunks are let pass
        elif self._current.total > pending.reply_limit:
            reason = f"the reply has {self._current.total:,} bytes, the limit is {pending.reply_limit:,}"
            self._exchange.refuse(self._current.message_id, reason, **self._came(pending))
            self._done()
        else:
            flower.make_room(self._current.total)
            self._feed(data)

    def _feed(self, data: memoryview) -> None:
        if self._current is None or not self._current.feed(data):
            return
        message_id = self._current.message_id
        pending = self._exchange.pending(self._name, message_id)
        if pending is None:
            self._done()  # nobody waits for it any more
            return
        came = self._came(pending)
        try:
            reply = flower.from_parts(self._current.parts)
            flower.check_reply(reply, message_id, self._name)
        except ValueError as error:
            self._exchange.refuse(message_id, str(error), **came)
        else:
            self._exchange.deliver(message_id, reply, **came)
        self._done()

    def _came(self, pending: Pending) -> dict[str, Any]:
        """Return what the ledger says of a reply; one that is too large is not read, and has no digest."""
        assert self._current is not None  # noqa: S101 - only called while a message is open
        reply, digest = self._current, None
        if len(reply.parts) == len(reply.sizes):
            joint = wire.joint_digest(reply.digests[1:])
            digest = wire.digest_of(pending.message.metadata.message_type, joint)
        return {
            "reply_sha256": digest,
            "bytes_up": wire.framed_size(reply.message_id, reply.sizes, reply.ledger),
            "client_ledger": reply.ledger,
            "certificate": self._certificate,
        }

    def _done(self) -> None:
        """Let the client forget its copy of the reply with the next message, and forget ours."""
        assert self._current is not None  # noqa: S101 - only called while a message is open
        self._received.append(self._current.message_id)
        self._current = None
