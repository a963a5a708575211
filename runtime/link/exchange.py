"""Who is in the run and which messages are on their way: the link's state, without any gRPC."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flwr.app import Message

from runtime.errors import printable
from runtime.link import flower
from runtime.link.member import Member, Outbox, Presence
from runtime.link.wire import LOOK_UP_SECONDS, Kind, control, digest_of, framed_size

REPLY_FLOOR: Final = 16 * 1024 * 1024
"""A reply may always have this many bytes, and otherwise twice what its request had."""

MASKED_RATIO: Final = 5
"""Masked, it may have so many times what it would have: a number has 16 bytes instead of 4 at the least."""

OnEvent = Callable[..., None]


@dataclass(frozen=True)
class Pending:
    """A message without its reply yet."""

    member: Member
    message: Message
    parts: list[bytes] = field(repr=False)
    sent: Mapping[str, Any]
    """What the ledger says of the request, as the client's own ledger does."""
    reply_limit: int
    """The most bytes that its reply may have."""


class Exchange:
    """The roster and the messages in flight; every method may be called from any thread.

    Parameters
    ----------
    roster
        The names of the clients that this run is with; nobody else is let in.
    largest_reply
        Bytes that a reply may have in any case.
    masked
        Whether replies come masked, which takes more bytes.
    """

    def __init__(
        self, roster: Sequence[str], *, largest_reply: int | None = None, masked: bool = False
    ) -> None:
        ratio = MASKED_RATIO if masked else 1
        self._largest_reply, self._reply_ratio = ratio * (largest_reply or REPLY_FLOOR), 2 * ratio
        self._changed = threading.Condition()
        self._members = {name: Member(name) for name in roster}
        self._by_node = {flower.number_of(name): self._members[name] for name in roster}
        self._pending: dict[str, Pending] = {}
        self._replies: dict[str, Message] = {}
        self._missing: list[set[str]] = []
        self._takers: list[set[str]] = []
        self._sent = 0
        self._said: set[tuple[str, str]] = set()
        self._last_frame: bytes | None = None
        self._watcher: OnEvent | None = None
        self._unwatched: list[tuple[str, dict[str, Any]]] = []
        self._failure: Exception | None = None

    def watch(self, on_event: OnEvent) -> None:
        """Call `on_event(kind, client=name, **details)` for all that happened with clients, and will.

        Every message ends in one event: `exchanged`, `refused` (its reply) or `missed` (no reply came).
        """
        with self._changed:
            self._watcher = on_event
            for kind, details in self._unwatched:
                on_event(kind, **details)
            self._unwatched.clear()

    def allow(self, size: int) -> None:
        """Let replies have so many bytes: what was asked for is known to be that large."""
        with self._changed:
            self._largest_reply = max(self._largest_reply, self._reply_ratio * size)

    def note(self, kind: str, **details: Any) -> None:
        """Tell the watcher, or keep it until there is one."""
        with self._changed:
            if self._watcher is None:
                self._unwatched.append((kind, details))
                return
            try:
                self._watcher(kind, **details)
            except Exception as error:  # the link must go on; whoever waits ends the run
                self._failure = self._failure or error
                self._changed.notify_all()

    def note_once(self, kind: str, *, client: str = "", **details: Any) -> None:
        """Tell the watcher of a kind of event the first time only: a peer can cause it without end."""
        with self._changed:
            if (kind, client) not in self._said:
                self._said.add((kind, client))
                self.note(kind, **({"client": client} if client else {}), **details)

    # What a conversation with a client does ---------------------------------------------------------

    def join(
        self,
        name: str,
        replaced: Callable[[], object] = lambda: None,
        wake: Callable[[], object] = lambda: None,
    ) -> Outbox:
        """Open a member's conversation; what it has not answered yet is sent (again) first.

        The newest conversation is the member's: of the one before, the server may not know yet that it broke.

        Parameters
        ----------
        replaced
            Called when a newer one takes this one's place, which its other end is told first.
        wake
            Called whenever there is something to send.
        """
        with self._changed:
            member = self._members[name]
            if member.outbox is not None:
                member.outbox.put(control(Kind.REPLACED))
                member.outbox.put(None)
                member.replaced()
            member.outbox, member.replaced = Outbox(wake), replaced
            for message_id, pending in self._pending.items():
                if pending.member is member:
                    member.outbox.put(message_id)
            if self._last_frame is not None:
                self._close(member.outbox)
            again = member.presence is not Presence.AWAITED
            self.note("rejoined" if again else "joined", client=name)
            self._take_part(member)
            self._changed.notify_all()
            return member.outbox

    def reject(self, name: str, reason: str) -> None:
        """Note that a member was not let in, because its versions differ: nobody need wait for it."""
        with self._changed:
            member = self._members[name]
            if member.outbox is None:
                member.presence, member.leave_reason = Presence.TURNED_AWAY, f"refused: {reason}"
            self.note("rejected", client=name, reason=reason)
            self._changed.notify_all()

    def remove(self, name: str, kind: str, reason: str) -> None:
        """Note, as this kind of event, that a member cannot come or come back: nobody need wait for it."""
        with self._changed:
            member = self._members[name]
            if self._last_frame is None and member.presence is not Presence.LEFT:
                self._leave(member, reason, kind)
                self._changed.notify_all()

    def disconnect(self, name: str, outbox: Outbox, *, leave_reason: str | None) -> None:
        """Close a member's conversation: with a leave_reason it has left, without one it may come back."""
        with self._changed:
            member = self._members[name]
            if member.outbox is not outbox:
                return  # a newer conversation took its place
            member.outbox = None
            outbox.put(None)
            self._changed.notify_all()
            if self._last_frame is not None:
                return  # the run is over: nobody is lost any more
            if leave_reason is None:
                if member.presence is not Presence.SET_ASIDE:
                    member.presence = Presence.LOST
                self.note("lost", client=name)
            else:
                self._leave(member, leave_reason)

    def pending(self, name: str, message_id: str) -> Pending | None:
        """Return a message that this member has not answered yet."""
        with self._changed:
            pending = self._pending.get(message_id)
            return pending if pending and pending.member.name == name else None

    def open_messages(self, name: str) -> list[str]:
        """Return the ids of what this member has not answered yet."""
        with self._changed:
            return [one for one, pending in self._pending.items() if pending.member.name == name]

    def answered(self, name: str, message_id: str) -> bool:
        """Note that a member has said all of a reply; return whether it was asked for at all.

        One that was set aside takes part again once it has said what it owed.
        """
        with self._changed:
            member = self._members[name]
            if message_id in member.owed and member.presence is Presence.SET_ASIDE:
                self._take_part(member)
            member.owed.discard(message_id)
            return self._was_sent(message_id)

    def deliver(self, message_id: str, reply: Message, **came: Any) -> None:
        """Take a reply, with what the ledger says of it; one that nobody waits for any more is dropped."""
        with self._changed:
            if pending := self._pending.pop(message_id, None):
                self.note("exchanged", client=pending.member.name, **pending.sent, **came)
                self._reply(message_id, reply)

    def refuse(self, message_id: str, reason: str, **came: Any) -> None:
        """Answer a message with an error in place of the reply that was refused."""
        with self._changed:
            reason = printable(reason)
            if pending := self._pending.pop(message_id, None):
                self.note("refused", client=pending.member.name, reason=reason, **pending.sent, **came)
                self._reply(message_id, flower.error_reply(pending.message, flower.REPLY_REFUSED, reason))

    # What the ServerApp does, through the grid ------------------------------------------------------

    def node_ids(self) -> list[int]:
        """Flower's ids of the members that take part: joined, or lost and expected back."""
        with self._changed:
            self._check()
            present = (Presence.JOINED, Presence.LOST)
            return [node for node, member in self._by_node.items() if member.presence in present]

    def gone(self) -> list[int]:
        """Flower's ids of the members that took part and do not now: left, or set aside."""
        with self._changed:
            absent = (Presence.LEFT, Presence.SET_ASIDE)
            return [node for node, member in self._by_node.items() if member.presence in absent]

    def presences(self) -> dict[str, Presence]:
        """Every member's standing, in the roster's order."""
        with self._changed:
            return {name: member.presence for name, member in self._members.items()}

    def leave_reasons(self) -> dict[str, str]:
        """Return why each member that cannot come any more does not."""
        with self._changed:
            gone = (Presence.LEFT, Presence.TURNED_AWAY)
            return {n: m.leave_reason or m.presence for n, m in self._members.items() if m.presence in gone}

    def post(self, message: Message, known: flower.Bodies | None = None) -> str:
        """Send a message to its node; return the id that its reply is waited for by."""
        with self._changed:
            self._sent += 1
            message_id = f"message-{self._sent}"
        flower.stamp(message, message_id)
        body = flower.body_of(message, known)
        parts = [flower.envelope_of(message), *body.parts]
        kind = message.metadata.message_type
        sent = {
            "id": message_id,
            "message": kind,
            "request_sha256": digest_of(kind, body.digest),
            "bytes_down": framed_size(message_id, [len(part) for part in parts]),
        }
        limit = max(self._largest_reply, self._reply_ratio * sum(map(len, parts)))
        with self._changed:
            member = self._by_node[message.metadata.dst_node_id]
            self._pending[message_id] = Pending(member, message, parts, sent, limit)
            if member.presence is Presence.LEFT:
                self._fail(message_id, f"{member.name} has left the run")
            elif member.presence is Presence.SET_ASIDE:
                self._fail(message_id, f"{member.name} was set aside: {member.leave_reason}")
            elif member.outbox is not None:
                member.outbox.put(message_id)
            return message_id

    def wait_for_replies(self, message_ids: Iterable[str], seconds: float) -> None:
        """Wait until all of these messages are answered, or the time is up.

        Raises
        ------
        Exception
            What the watcher raised that was told what happened: FedstackError, when the ledger is unwritable.
        """
        with self._changed:
            missing = set(message_ids) - self._replies.keys()
            self._missing.append(missing)
            deadline = time.monotonic() + seconds
            while missing and self._failure is None and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, LOOK_UP_SECONDS))
            self._missing.remove(missing)
            self._check()

    def take(self, message_ids: Iterable[str], seconds: float) -> list[Message]:
        """Wait until any of these messages is answered, or the time is up; take the replies that are there.

        Raises
        ------
        Exception
            What the watcher raised that was told what happened: FedstackError, when the ledger is unwritable.
        """
        with self._changed:
            waited = set(message_ids)
            self._takers.append(waited)
            deadline = time.monotonic() + seconds
            while not (waited & self._replies.keys()) and self._failure is None:
                if (left := deadline - time.monotonic()) <= 0:
                    break
                self._changed.wait(min(left, LOOK_UP_SECONDS))
            self._takers.remove(waited)
            self._check()
            return [self._replies.pop(one) for one in waited & self._replies.keys()]

    def collect(self, message_ids: Iterable[str]) -> list[Message]:
        """Take the replies that are there, in the order asked for."""
        with self._changed:
            self._check()
            return [self._replies.pop(one) for one in message_ids if one in self._replies]

    def give_up(self, message_ids: Iterable[str], reason: str, *, set_aside: bool = False) -> None:
        """Answer what is still open with an error; a member that is lost is not expected back.

        Parameters
        ----------
        set_aside
            Whether a whole round waited: then whoever did not answer is asked nothing more until it speaks
            again, and nothing at all once that happened `MOST_LATE` times.
        """
        with self._changed:
            silent: dict[str, Member] = {}
            for message_id in message_ids:
                pending = self._pending.get(message_id)
                if pending is None:
                    continue
                silent[pending.member.name] = pending.member
                pending.member.owed.add(message_id)
                self._fail(message_id, reason)
            for member in silent.values():
                if set_aside and member.presence in (Presence.JOINED, Presence.LOST):
                    member.set_aside(reason)
                    self.note("set_aside", client=member.name, reason=member.leave_reason)
                elif member.presence is not Presence.JOINED:
                    member.presence = Presence.LEFT

    def settle(self, on_event: OnEvent) -> None:
        """Answer all that is open with an error, the last that the watcher hears of; then tell another."""
        with self._changed:
            for message_id in list(self._pending):
                self._fail(message_id, "the run ended before the reply came")
            self._watcher = on_event

    def end(self, kind: Kind, **body: Any) -> None:
        """Tell every client, now and whenever one joins, that the run is over (END) or off (ABORT)."""
        with self._changed:
            self._last_frame = control(kind, **body)
            for member in self._members.values():
                if member.outbox is not None:
                    self._close(member.outbox)
            self._changed.notify_all()

    def wait_for_partings(self, seconds: float) -> None:
        """Wait until every conversation is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(member.outbox is None for member in self._members.values()), timeout=seconds
            )

    def _check(self) -> None:
        """Raise what kept the watcher from taking an event: a run that cannot be written down ends."""
        if self._failure is not None:
            raise self._failure

    def _close(self, outbox: Outbox) -> None:
        outbox.put(self._last_frame)
        outbox.put(None)

    def _leave(self, member: Member, leave_reason: str, kind: str = "left") -> None:
        member.presence, member.leave_reason = Presence.LEFT, leave_reason
        for message_id, pending in list(self._pending.items()):
            if pending.member is member:
                self._fail(message_id, f"{member.name} left: {leave_reason}")
        self.note(kind, client=member.name, reason=leave_reason)

    def _take_part(self, member: Member) -> None:
        if member.take_part():
            self.note("taken_back", client=member.name)

    def _was_sent(self, message_id: str) -> bool:
        found = re.fullmatch("message-([1-9][0-9]{0,15})", message_id)
        return found is not None and int(found[1]) <= self._sent

    def _fail(self, message_id: str, reason: str) -> None:
        pending = self._pending.pop(message_id)
        self.note("missed", client=pending.member.name, reason=reason, **pending.sent)
        self._reply(message_id, flower.error_reply(pending.message, flower.NODE_UNAVAILABLE, reason))

    def _reply(self, message_id: str, reply: Message) -> None:
        """Keep a reply, and wake only who now has all that it waits for, or wants each as it comes."""
        self._replies[message_id] = reply
        if any(message_id in waited for waited in self._takers):
            self._changed.notify_all()
        for missing in self._missing:
            missing.discard(message_id)
            if not missing:
                self._changed.notify_all()
