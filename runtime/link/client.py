"""The client's end of the link: dial out, stay connected, answer each message once."""

from __future__ import annotations

import contextlib
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import grpc
from flwr.app import Message

from runtime.contract import ExitCode, FedstackError
from runtime.errors import CrossingError, crossing, printable
from runtime.ledger import GENESIS
from runtime.link import flower, identity, wire
from runtime.link.versions import BUILT_IN, versions
from runtime.link.wire import LOOK_UP_SECONDS, Kind

log = logging.getLogger(__name__)

GIVE_UP_SECONDS: Final = 300.0
REQUEST_LIMIT: Final = 8 * 1024**3
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

Handler = Callable[[Message], Message]
Record = Callable[[Message, Message, dict[str, Any]], str]
"""Told a message, its reply and what a ledger says of both; returns the hash of the ledger's line."""

Outbox = queue.SimpleQueue[str | bytes | None]


class LinkClient:
    """Run a ClientApp against the server until it says that the run is over.

    Parameters
    ----------
    address
        The server's `host:port`.
    server_fingerprint
        The one certificate that the server may have.
    own
        This client's identity for this run.
    handler
        Called with every message, in the thread that called `run`, and at most once for each.
    record
        Called after it, before anything of the reply leaves.
    app
        Digest of the app that is run, which the server's must be, too.
    begin
        Called at every handshake with what the server says of the run.
    run_seconds
        When to stop in any case.
    give_up_seconds
        How long to go on trying while the server cannot be reached.
    """

    def __init__(
        self,
        address: str,
        server_fingerprint: str,
        own: identity.Identity,
        handler: Handler,
        *,
        record: Record = lambda *_: "",
        app: str = BUILT_IN,
        begin: Callable[[Mapping[str, Any]], None] = lambda _: None,
        run_seconds: float,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self._address, self._server_fingerprint = address, server_fingerprint
        self._own, self._handler, self._record = own, handler, record
        self._app, self._begin = app, begin
        self.server_ledger: str | None = None
        """The head of the server's ledger, once the server ended the run."""
        self._deadline = time.monotonic() + run_seconds
        self._give_up_seconds = give_up_seconds
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._answers: dict[str, tuple[list[bytes], str]] = {}
        self._inbox: queue.SimpleQueue[tuple[Message, dict[str, Any]] | None] = queue.SimpleQueue()
        self._failure: Exception | None = None
        self._outbox: Outbox = queue.SimpleQueue()
        self._server_certificate: bytes | None = None
        self._last_contact = time.monotonic()
        self._connected = threading.Event()
        self._jitter = random.Random()  # its own, so that no caller's seeded draws are disturbed
        self._closing = threading.Event()

    def run(self) -> None:
        """Answer messages until the orderly end.

        Raises
        ------
        FedstackError
            With the code to exit with: other versions, wrong server, unreachable, aborted, out of time.
        """
        connection = threading.Thread(target=self._stay_connected, daemon=True, name="link")
        connection.start()
        try:
            while (received := self._next()) is not None and self._failure is None:
                self._answer(*received)
                del received  # while the next one comes
            if self._failure is not None:  # what still waits for an answer waits in vain
                raise self._failure
        except BaseException as error:
            self._outbox.put(wire.control(Kind.BYE, reason=crossing(error)))
            raise
        finally:
            self._closing.set()
            self._outbox.put(None)
            connection.join(timeout=2.0)

    def _next(self) -> tuple[Message, dict[str, Any]] | None:
        while True:
            with contextlib.suppress(queue.Empty):
                return self._inbox.get(timeout=LOOK_UP_SECONDS)

    def _answer(self, message: Message, came: dict[str, Any]) -> None:
        reply = self._handler(message)
        message_id, body = came["id"], flower.body_of(reply)
        parts = [flower.envelope_of(reply), *body.parts]
        left = {
            "reply_sha256": wire.digest_of(came["message"], body.digest),
            # The hash of the line that says this is not known yet, but how long it is.
            "bytes_out": wire.framed_size(message_id, [len(part) for part in parts], GENESIS),
        }
        ledger = self._record(message, reply, {**came, **left})
        with self._lock:
            self._answers[message_id] = (parts, ledger)
            self._outbox.put(message_id)

    # The connection's thread ------------------------------------------------------------------------

    def _stay_connected(self) -> None:
        try:
            self._converse_until_the_end()
        except Exception as error:  # whatever it is: nobody else would tell who waits for messages
            self._failure = error
        self._inbox.put(None)

    def _converse_until_the_end(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                if self._converse():
                    return
            except (OSError, grpc.RpcError, wire.WireError) as error:
                trouble = error
            except UnicodeError as error:
                raise FedstackError(
                    ExitCode.CONFIG,
                    f"{self._address} is no address ({error}).",
                    "Correct --server-address.",
                    public="The server's address is none.",
                ) from error
            if self._closing.is_set():
                return
            if self._connected.is_set():
                self._connected.clear()
                self._last_contact, pause = time.monotonic(), FIRST_PAUSE
            if (given_up := self._given_up(trouble)) is not None:
                raise given_up
            time.sleep(pause * self._jitter.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _given_up(self, trouble: Exception) -> FedstackError | None:
        now = time.monotonic()
        if now >= self._deadline:
            return FedstackError(
                ExitCode.RUN_DEADLINE, "The run took longer than it may.", "Raise the run's deadline."
            )
        if now - self._last_contact < self._give_up_seconds:
            return None
        detail = printable(trouble.details() if isinstance(trouble, grpc.Call) else trouble)
        what = f"No link to {self._address} for {self._give_up_seconds:g} s"
        return FedstackError(
            ExitCode.UNREACHABLE,
            f"{what} ({detail}).",
            "Check that the server runs, that the network lets this port through, and that the server "
            "could read this client's certificate in the mailbox.",
            public=f"{what}.",
        )

    def _converse(self) -> bool:
        """Hold one conversation; return whether it ended with the run's orderly end."""
        if self._server_certificate is None:
            self._server_certificate = identity.fetch_certificate(
                self._address, self._server_fingerprint, timeout=10.0
            )
        credentials = grpc.ssl_channel_credentials(
            self._server_certificate, self._own.key, self._own.certificate
        )
        options = (*wire.CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", identity.SERVER_NAME))
        outbox = self._new_outbox()
        with grpc.secure_channel(self._address, credentials, options=options) as channel:
            call = channel.stream_stream(wire.METHOD)(
                self._outgoing(outbox), timeout=max(0.0, self._deadline - time.monotonic())
            )
            try:
                return self._listen(call)
            finally:
                outbox.put(None)
                call.cancel()

    def _new_outbox(self) -> Outbox:
        """Start a conversation with HELLO; what is answered but not received goes out on request only."""
        with self._lock:
            self._outbox = queue.SimpleQueue()
            self._outbox.put(wire.control(Kind.HELLO, versions=versions(self._app)))
            return self._outbox

    def _outgoing(self, outbox: Outbox) -> Iterator[bytes]:
        while (item := outbox.get()) is not None:
            if isinstance(item, bytes):
                yield item
            elif (answer := self._answers.get(item)) is not None:
                parts, ledger = answer
                yield from wire.message_frames(item, parts, ledger=ledger)

    def _listen(self, frames: Iterator[bytes]) -> bool:
        current: wire.Assembler | None = None
        for frame in frames:
            kind = wire.kind_of(frame)
            if kind is Kind.MESSAGE:
                current, data = wire.open_message(frame)
                if current.total > REQUEST_LIMIT:
                    raise wire.TooLargeError(f"the server announced {current.total:,} bytes")
                for received in current.received:
                    self._answers.pop(received, None)
                flower.make_room(current.total)
            elif kind is Kind.CHUNK and current is not None:
                data = memoryview(frame)[1:]
            else:
                if self._control(kind, frame):
                    return True
                continue
            if current.feed(data):
                self._receive(current)
                current = None
        raise wire.WireError("the server closed the conversation")

    def _control(self, kind: Kind, frame: bytes) -> bool:
        body = wire.body_of(frame)
        reason = printable(body.get("reason"))
        if kind in (Kind.END, Kind.ABORT) and wire.is_digest(head := body.get("server_ledger")):
            self.server_ledger = head
        if kind is Kind.WELCOME:
            told = body.get("run")
            self._begin(told if isinstance(told, dict) else {})
            self._connected.set()
            self._keep_only(body.get("open"))
        elif kind is Kind.END:
            return True
        elif kind is Kind.ABORT:
            raise FedstackError(ExitCode.ABORTED, f"The server ended the run: {reason}", "See its report.")
        elif kind is Kind.REPLACED:
            raise FedstackError(
                ExitCode.IDENTITY,
                "The server talks to another process with this client's name now.",
                "Run one job of a client at a time; if nobody started another, its key was copied: tell the "
                "account's owner.",
            )
        elif kind is Kind.REFUSED:
            raise FedstackError(
                ExitCode.VERSION,
                f"The server refused this client ({reason}).",
                "Deploy the same Fedstack release on both sides.",
            )
        else:
            raise wire.WireError(f"a server may not send {kind.name}")
        return False

    def _keep_only(self, awaited: Any) -> None:
        """Forget the answers that the server does not wait for: it had them before the last break."""
        with self._lock:
            for message_id in self._answers.keys() - set(awaited if isinstance(awaited, list) else []):
                del self._answers[message_id]

    def _receive(self, assembled: wire.Assembler) -> None:
        """Hand a message to the handler, or answer it again if it was answered before."""
        message_id = assembled.message_id
        with self._lock:
            if message_id in self._answers:
                self._outbox.put(message_id)
            elif message_id not in self._seen:
                self._seen.add(message_id)
                try:
                    message = flower.from_parts(assembled.parts)
                except ValueError as error:
                    raise wire.WireError(str(error)) from error
                kind, joint = message.metadata.message_type, wire.joint_digest(assembled.digests[1:])
                came = {
                    "id": message_id,
                    "message": kind,
                    "request_sha256": wire.digest_of(kind, joint),
                    "bytes_in": wire.framed_size(message_id, assembled.sizes),
                }
                self._inbox.put((message, came))


def handle_with(app: Callable[[Message, Any], Message], context: Any) -> Handler:
    """Turn a ClientApp into a handler; an exception becomes an error reply of what may cross."""

    def handle(message: Message) -> Message:
        try:
            return app(message, context)
        except Exception as error:
            if not isinstance(error, CrossingError):  # who made one of another error has logged that one
                log.exception("The ClientApp failed on %s", printable(message.metadata.message_type))
            return flower.error_reply(message, flower.CLIENT_APP_FAILED, crossing(error))

    return handle
