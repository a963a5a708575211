"""One client's stream, as the server holds it: HELLO in time, then messages both ways until one leaves."""

from __future__ import annotations

import collections
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import grpc

from runtime.errors import printable
from runtime.link import flower, wire
from runtime.link.exchange import Exchange, Pending
from runtime.link.limits import HELLO_SECONDS
from runtime.link.member import Outbox
from runtime.link.versions import differences, versions
from runtime.link.wire import Kind

REPLACED_GRACE_SECONDS: Final = 2.0
"""How long a conversation that a newer one took the place of has to hear so: its other end may be gone."""


class Conversation:
    """Greet one client on a stream, send it what is for it, and read what it says.

    Parameters
    ----------
    exchange
        The run's roster and messages.
    name, certificate
        Whom the stream is with, and the fingerprint that proves it.
    app
        Digest of the app that is run, which the client's must be, too.
    told
        What each client is told of the run at the handshake.
    """

    def __init__(
        self,
        exchange: Exchange,
        name: str,
        certificate: str,
        app: str,
        told: Callable[[str], Mapping[str, Any]],
        frames: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> None:
        self._exchange, self._name, self._certificate = exchange, name, certificate
        self._app, self._told = app, told
        self._frames, self._context = frames, context
        self._greeted: queue.SimpleQueue[Outbox | bytes | str | None] = queue.SimpleQueue()
        self._received: collections.deque[str] = collections.deque()
        """The ids of messages whose replies came and whose client has not heard so yet."""
        self._current: wire.Assembler | None = None
        self._unread = 0
        """Bytes to come of the current message that nobody waits for."""
        self._leave_reason: str | None = None

    def outgoing(self) -> Iterator[bytes]:
        """Yield what is for the client, from the greeting to the end of the conversation.

        A thread of its own reads, from the first frame on: nothing else ends a wait for a client that says
        nothing.
        """
        threading.Thread(target=self._read, daemon=True, name=f"link-{self._name}").start()
        try:
            greeted = self._greeted.get(timeout=HELLO_SECONDS)
        except queue.Empty:
            greeted = f"no HELLO within {HELLO_SECONDS:g} s"
        if isinstance(greeted, bytes):
            yield greeted
        elif isinstance(greeted, str):
            self._exchange.note_once("hello_refused", client=self._name, reason=greeted)
            late = greeted.startswith("no HELLO")
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.FAILED_PRECONDITION
            self._context.abort(code, greeted)
        elif greeted is not None:
            open_messages, run = self._exchange.open_messages(self._name), dict(self._told(self._name))
            yield wire.control(Kind.WELCOME, client=self._name, open=open_messages, run=run)
            yield from self._messages(greeted)

    def _messages(self, outbox: Outbox) -> Iterator[bytes]:
        while (item := outbox.get()) is not None:
            if isinstance(item, bytes):
                yield item
            elif pending := self._exchange.pending(self._name, item):
                receipts = [self._received.popleft() for _ in range(len(self._received))]
                yield from wire.message_frames(item, pending.parts, receipts)

    # The thread that reads --------------------------------------------------------------------------

    def _read(self) -> None:
        """Read what the client says until it stops saying anything."""
        outbox: Outbox | None = None
        try:
            greeted = self._greet(next(self._frames))
            self._greeted.put(greeted)
            if isinstance(greeted, bytes):
                return
            outbox = greeted
            for frame in self._frames:
                self._take(frame)
                del frame  # while the next one comes
        except wire.WireError as error:
            self._leave_reason = f"broke the protocol: {printable(error)}"
            self._greeted.put(str(self._leave_reason))  # in case it did at once
        except (grpc.RpcError, StopIteration):
            self._greeted.put(None)  # the stream broke; the client may come back
        finally:
            if outbox is not None:
                self._exchange.disconnect(self._name, outbox, leave_reason=self._leave_reason)
                self._context.cancel()

    def _greet(self, first: bytes) -> Outbox | bytes:
        """Let a client join that says HELLO, or return what refuses it."""
        if wire.kind_of(first) is not Kind.HELLO:
            raise wire.WireError("the first frame must be HELLO")
        theirs = wire.body_of(first).get("versions")
        unequal = differences(versions(self._app), theirs if isinstance(theirs, dict) else {})
        if unequal:
            self._exchange.reject(self._name, unequal)
            return wire.control(Kind.REFUSED, reason=unequal)
        return self._exchange.join(self._name, self._replaced)

    def _replaced(self) -> None:
        """Hang up, once the other end has heard that a newer conversation took this one's place."""
        timer = threading.Timer(REPLACED_GRACE_SECONDS, self._context.cancel)
        timer.daemon = True
        timer.start()

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
        self._unread = self._current.total
        if pending is None:
            self._skip(data)  # nobody waits for it any more: its chunks are let pass
        elif self._current.total > pending.reply_limit:
            reason = f"the reply has {self._current.total:,} bytes, the limit is {pending.reply_limit:,}"
            self._exchange.refuse(self._current.message_id, reason, **self._came(pending))
            self._skip(data)
        else:
            self._unread = 0
            flower.make_room(self._current.total)
            self._feed(data)

    def _skip(self, data: memoryview) -> None:
        """Let bytes pass of a reply that is not taken; a client that has said all of it speaks again."""
        self._unread -= len(data)
        if self._unread < 0:
            raise wire.WireError("a message is longer than announced")
        if not self._unread:
            self._done()

    def _feed(self, data: memoryview) -> None:
        if self._current is None:
            raise wire.WireError("a chunk of no message")
        if self._unread:
            self._skip(data)
            return
        if not self._current.feed(data):
            return
        message_id = self._current.message_id
        if pending := self._exchange.pending(self._name, message_id):
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
        message_id, self._current = self._current.message_id, None
        if self._exchange.answered(self._name, message_id) and message_id not in self._received:
            self._received.append(message_id)
