"""One client's stream, as the server holds it: HELLO in time, then messages both ways until one leaves."""

from __future__ import annotations

import asyncio
import collections
import functools
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, Final, NoReturn

import grpc

from runtime.errors import printable
from runtime.link import flower, wire
from runtime.link.exchange import Exchange, Pending
from runtime.link.limits import HELLO_SECONDS
from runtime.link.member import Outbox
from runtime.link.versions import differences, versions
from runtime.link.wire import Kind

log = logging.getLogger(__name__)

REPLACED_GRACE_SECONDS: Final = 2.0
"""How long a conversation that a newer one took the place of has to hear so: its other end may be gone."""

PARTING_SECONDS: Final = 10.0
"""How long a client that heard of the run's end has to hang up."""

LARGE_FRAME: Final = 32 * 1024
"""Bytes of a message from which on a thread digests it and puts it together, so that streams of large arrays
use every core, and none keeps the loop."""


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
    context
        The stream: read and written in the loop that the conversation is held in.
    threads
        Where large frames are digested.
    """

    def __init__(
        self,
        exchange: Exchange,
        name: str,
        certificate: str,
        app: str,
        told: Callable[[str], Mapping[str, Any]],
        context: grpc.aio.ServicerContext[bytes, bytes],
        threads: Executor,
    ) -> None:
        self._exchange, self._name, self._certificate = exchange, name, certificate
        self._app, self._told = app, told
        self._context, self._threads = context, threads
        self._more, self._replaced = asyncio.Event(), asyncio.Event()
        self._received: collections.deque[str] = collections.deque()
        """The ids of messages whose replies came and whose client has not heard so yet."""
        self._current: wire.Assembler | None = None
        self._unread = 0
        """Bytes to come of the current message that nobody waits for."""
        self._leave_reason: str | None = None

    async def hold(self) -> None:
        """Hold the conversation to its end, which closes the stream.

        It ends when the client says nothing more, some time after the last that is for it, and when a newer
        one takes its place: nothing else ends a wait for a client that says nothing.
        """
        try:
            if (outbox := await self._greet()) is not None:
                await self._talk(outbox)
        except grpc.aio.BaseError:  # the stream broke, or was aborted
            raise
        except Exception:  # a fault of ours, whose text gRPC would send
            log.exception("The conversation with %s broke", self._name)

    async def _greet(self) -> Outbox | None:
        """Let a client join that says HELLO in time; refuse another."""
        try:
            first = await asyncio.wait_for(self._context.read(), HELLO_SECONDS)
            if first is grpc.aio.EOF:
                return None  # the stream broke; the client may come back
            unequal = self._unequal_versions(first)
        except TimeoutError:
            await self._refuse(grpc.StatusCode.DEADLINE_EXCEEDED, f"no HELLO within {HELLO_SECONDS:g} s")
        except wire.WireError as error:
            await self._refuse(grpc.StatusCode.FAILED_PRECONDITION, f"broke the protocol: {printable(error)}")
        if unequal:
            self._exchange.reject(self._name, unequal)
            await self._context.write(wire.control(Kind.REFUSED, reason=unequal))
            return None
        loop = asyncio.get_running_loop()
        return self._exchange.join(
            self._name,
            functools.partial(loop.call_soon_threadsafe, self._replaced.set),
            functools.partial(loop.call_soon_threadsafe, self._more.set),
        )

    async def _refuse(self, code: grpc.StatusCode, reason: str) -> NoReturn:
        self._exchange.note_once("hello_refused", client=self._name, reason=reason)
        await self._context.abort(code, reason)
        raise AssertionError  # abort() raises

    def _unequal_versions(self, first: bytes) -> str:
        """Return how the versions differ that a client says HELLO with."""
        if wire.kind_of(first) is not Kind.HELLO:
            raise wire.WireError("the first frame must be HELLO")
        theirs = wire.body_of(first).get("versions")
        return differences(versions(self._app), theirs if isinstance(theirs, dict) else {})

    async def _talk(self, outbox: Outbox) -> None:
        reading, writing = asyncio.ensure_future(self._read()), asyncio.ensure_future(self._write(outbox))
        replaced = asyncio.ensure_future(self._hear_of_newer())
        tasks = (reading, writing, replaced)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if writing in done and not writing.exception():  # what is for it is said
                await asyncio.wait(
                    (reading, replaced), timeout=PARTING_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            self._exchange.disconnect(self._name, outbox, leave_reason=self._leave_reason)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def _hear_of_newer(self) -> None:
        """Wait until the other end has had time to hear that a newer conversation took this one's place."""
        await self._replaced.wait()
        await asyncio.sleep(REPLACED_GRACE_SECONDS)

    async def _write(self, outbox: Outbox) -> None:
        open_messages, run = self._exchange.open_messages(self._name), dict(self._told(self._name))
        await self._context.write(wire.control(Kind.WELCOME, client=self._name, open=open_messages, run=run))
        while True:
            while outbox:
                item = outbox.take()
                if item is None:
                    return
                await self._send(item)
            self._more.clear()
            if not outbox:
                await self._more.wait()

    async def _send(self, item: str | bytes) -> None:
        if isinstance(item, bytes):
            await self._context.write(item)
        elif pending := self._exchange.pending(self._name, item):
            receipts = [self._received.popleft() for _ in range(len(self._received))]
            for frame in wire.message_frames(item, pending.parts, receipts):
                await self._context.write(frame)

    async def _read(self) -> None:
        """Read what the client says until it stops saying anything."""
        loop = asyncio.get_running_loop()
        try:
            while (frame := await self._context.read()) is not grpc.aio.EOF:
                if self._current is None and len(frame) < LARGE_FRAME:  # all of a message, if it is of one
                    self._take(frame)
                else:
                    await loop.run_in_executor(self._threads, self._take, frame)
                del frame  # while the next one comes
        except wire.WireError as error:
            self._leave_reason = f"broke the protocol: {printable(error)}"

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
        if self._current is not None:
            raise wire.WireError("a message begins within another")
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
