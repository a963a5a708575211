from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from runtime.link import exchange, flower, wire
from runtime.link.exchange import Exchange
from runtime.link.member import Outbox, Presence
from runtime.link.wire import Kind

flower.adopt_identity(1)

Event = tuple[str, str | None]


class Watched(Exchange):
    """An exchange of two clients and what it told."""

    def __init__(self) -> None:
        super().__init__(["clinic", "insurer"])
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.watch(lambda kind, **details: self.told.append((kind, details)))

    @property
    def events(self) -> list[Event]:
        return [(kind, details.get("client")) for kind, details in self.told]

    def send(self, name: str) -> str:
        return self.post(Message(RecordDict(), flower.number_of(name), "train"))

    def answer(self, name: str, message_id: str) -> None:
        pending = self.pending(name, message_id)
        assert pending is not None
        self.deliver(message_id, Message(RecordDict(), reply_to=pending.message), bytes_up=7)

    def reason(self, message_id: str) -> str:
        (reply,) = self.collect([message_id])
        return str(reply.error.reason)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def queued(outbox: Outbox) -> list[str | bytes | None]:
    return [outbox.take() for _ in range(len(outbox))]


def test_only_who_has_joined_takes_part(watched: Watched) -> None:
    assert watched.node_ids() == []
    watched.join("insurer")
    assert watched.node_ids() == [flower.number_of("insurer")]
    watched.join("clinic")
    assert watched.node_ids() == [flower.number_of("clinic"), flower.number_of("insurer")]
    assert watched.events == [("joined", "insurer"), ("joined", "clinic")]


def test_what_happens_before_anybody_watches_is_told_later() -> None:
    early = Exchange(["clinic"])
    early.note("trusted", client="clinic")
    early.join("clinic")
    told: list[str] = []
    early.watch(lambda kind, **_: told.append(kind))
    assert told == ["trusted", "joined"]


def test_nobody_outside_the_roster_joins(watched: Watched) -> None:
    with pytest.raises(KeyError):
        watched.join("stranger")


def test_replies_are_collected_in_the_order_asked_for(watched: Watched) -> None:
    ids = [watched.send("clinic"), watched.send("insurer")]
    watched.answer("insurer", ids[1])
    watched.answer("clinic", ids[0])
    assert [reply.metadata.reply_to_message_id for reply in watched.collect(ids)] == ids
    assert watched.collect(ids) == []


def test_waiting_ends_with_the_last_reply(watched: Watched) -> None:
    ids = [watched.send("clinic"), watched.send("insurer")]
    waiting = threading.Thread(target=watched.wait_for_replies, args=(ids, 60))
    waiting.start()
    for name, one in zip(("clinic", "insurer"), ids, strict=True):
        assert waiting.is_alive()
        watched.answer(name, one)
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_client_sees_only_its_own_messages(watched: Watched) -> None:
    message_id = watched.send("clinic")
    assert watched.pending("insurer", message_id) is None
    assert watched.pending("clinic", "message-99") is None
    assert watched.pending("clinic", message_id) is not None


def test_a_late_reply_is_dropped(watched: Watched) -> None:
    watched.join("clinic")
    message_id = watched.send("clinic")
    pending = watched.pending("clinic", message_id)
    assert pending is not None
    watched.give_up([message_id], "no reply within 1 s")
    assert watched.reason(message_id) == "no reply within 1 s"
    watched.deliver(message_id, Message(RecordDict(), reply_to=pending.message))
    assert watched.collect([message_id]) == []
    assert ("missed", "clinic") in watched.events
    assert watched.presences()["clinic"] is Presence.JOINED  # slow is not gone


def test_every_message_ends_in_one_event_that_says_what_was_asked(watched: Watched) -> None:
    content = RecordDict({"config": ConfigRecord({"round": 1})})
    ids = [watched.post(Message(content, flower.number_of("clinic"), f"query.{one}")) for one in "abc"]
    watched.answer("clinic", ids[0])
    watched.refuse(ids[1], "it is too large", bytes_up=99)
    watched.give_up(ids, "no reply within 1 s")
    assert watched.events == [("exchanged", "clinic"), ("refused", "clinic"), ("missed", "clinic")]
    told = [details for _, details in watched.told]
    assert [one["id"] for one in told] == ids
    assert [one["message"] for one in told] == ["query.a", "query.b", "query.c"]
    assert [one.get("bytes_up") for one in told] == [7, 99, None]
    assert len({one["request_sha256"] for one in told}) == 3  # the kind is part of it
    assert len({one["bytes_down"] for one in told}) == 1


def test_one_content_to_many_clients_is_digested_once_and_has_one_digest(watched: Watched) -> None:
    content, known = RecordDict({"arrays": ArrayRecord({"w": Array(np.ones(3))})}), flower.Bodies()
    for name in ("clinic", "insurer"):
        watched.answer(name, watched.post(Message(content, flower.number_of(name), "train"), known))
    first, second = (details["request_sha256"] for _, details in watched.told)
    assert first == second
    assert len(known) == 1


def test_what_is_open_at_the_end_is_missed_and_nothing_is_told_after_it(watched: Watched) -> None:
    watched.join("clinic")
    message_id, later = watched.send("clinic"), list[str]()
    pending = watched.pending("clinic", message_id)
    assert pending is not None
    watched.settle(lambda kind, **_: later.append(kind))
    watched.deliver(message_id, Message(RecordDict(), reply_to=pending.message))
    watched.note("stopped", client="clinic")
    assert watched.events == [("joined", "clinic"), ("missed", "clinic")]
    assert later == ["stopped"]


def test_a_lost_client_gets_what_it_has_not_answered_when_it_comes_back(watched: Watched) -> None:
    first = watched.join("clinic")
    answered, open_ = watched.send("clinic"), watched.send("clinic")
    watched.answer("clinic", answered)
    watched.disconnect("clinic", first, leave_reason=None)
    assert watched.node_ids() == [flower.number_of("clinic")]  # it may come back
    assert watched.collect([open_]) == []
    assert queued(watched.join("clinic")) == [open_]
    expected = [("joined", "clinic"), ("exchanged", "clinic"), ("lost", "clinic"), ("rejoined", "clinic")]
    assert watched.events == expected


def test_a_lost_client_that_missed_its_round_is_not_expected_back_but_may_come(watched: Watched) -> None:
    watched.disconnect("clinic", watched.join("clinic"), leave_reason=None)
    watched.give_up([watched.send("clinic")], "no reply within 1 s")
    assert watched.presences()["clinic"] is Presence.LEFT
    assert watched.node_ids() == []
    watched.join("clinic")
    assert watched.node_ids() == [flower.number_of("clinic")]


def test_who_says_goodbye_is_not_waited_for(watched: Watched) -> None:
    outbox = watched.join("clinic")
    mine, other = watched.send("clinic"), watched.send("insurer")
    watched.disconnect("clinic", outbox, leave_reason="it was stopped")
    assert watched.reason(mine) == "clinic left: it was stopped"
    assert watched.reason(watched.send("clinic")) == "clinic has left the run"
    assert watched.collect([other]) == []
    assert watched.node_ids() == []
    assert ("left", {"client": "clinic", "reason": "it was stopped"}) in watched.told
    assert watched.events == [
        ("joined", "clinic"),
        ("missed", "clinic"),
        ("left", "clinic"),
        ("missed", "clinic"),
    ]


def test_who_lets_a_whole_round_wait_is_set_aside_until_it_has_said_what_it_owes(watched: Watched) -> None:
    watched.join("clinic")
    owed = watched.send("clinic")
    watched.give_up([owed], "no reply within 9 s", set_aside=True)
    assert watched.told[-1] == ("set_aside", {"client": "clinic", "reason": "no reply within 9 s"})
    assert watched.node_ids() == []
    assert watched.gone() == [flower.number_of("clinic")]
    assert watched.reason(watched.send("clinic")) == "clinic was set aside: no reply within 9 s"
    assert watched.answered("clinic", owed)
    assert watched.told[-1] == ("taken_back", {"client": "clinic"})
    assert watched.node_ids() == [flower.number_of("clinic")]


def test_who_was_set_aside_is_taken_back_when_it_joins_anew(watched: Watched) -> None:
    watched.disconnect("clinic", watched.join("clinic"), leave_reason=None)
    watched.give_up([watched.send("clinic")], "no reply within 9 s", set_aside=True)
    assert watched.presences()["clinic"] is Presence.SET_ASIDE
    watched.disconnect("clinic", watched.join("clinic"), leave_reason=None)
    assert [kind for kind, _ in watched.events][-4:] == ["set_aside", "rejoined", "taken_back", "lost"]


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_who_lets_a_second_round_wait_takes_part_no_more(watched: Watched, *, says_goodbye: bool) -> None:
    outbox = watched.join("clinic")
    for _ in range(2):
        owed = watched.send("clinic")
        watched.give_up([owed], "no reply within 9 s", set_aside=True)
        watched.answered("clinic", owed)
    assert watched.told[-1] == ("set_aside", {"client": "clinic", "reason": "no reply within 9 s, 2 times"})
    watched.disconnect("clinic", outbox, leave_reason="it was stopped" if says_goodbye else None)
    watched.join("clinic")
    assert watched.node_ids() == []
    assert watched.presences()["clinic"] is Presence.SET_ASIDE


def test_a_reply_to_what_it_does_not_owe_takes_nobody_back(watched: Watched) -> None:
    watched.join("clinic")
    answered = watched.send("clinic")
    watched.answer("clinic", answered)
    watched.give_up([watched.send("clinic")], "no reply within 9 s", set_aside=True)
    assert watched.answered("clinic", answered)
    assert watched.node_ids() == []


@pytest.mark.parametrize("message_id", ["", "message-", "message-0", "message-2", "message-01", "1"])
def test_a_message_that_was_never_sent_is_told_apart(watched: Watched, message_id: str) -> None:
    watched.send("clinic")
    assert watched.answered("clinic", "message-1")
    assert not watched.answered("clinic", message_id)


def test_what_a_peer_can_cause_without_end_is_told_once_of_each_client(watched: Watched) -> None:
    for name in ("clinic", "clinic", "insurer"):
        watched.note_once("hello_refused", client=name, reason="no HELLO within 10 s")
    watched.note_once("idle_connections", reason="2,000 are open")
    assert watched.events == [
        ("hello_refused", "clinic"),
        ("hello_refused", "insurer"),
        ("idle_connections", None),
    ]


def test_a_newer_conversation_takes_the_place_of_an_older_one(watched: Watched) -> None:
    older = watched.join("clinic")
    watched.join("clinic")
    assert queued(older) == [wire.control(Kind.REPLACED), None]
    watched.disconnect("clinic", older, leave_reason="the older one ends")
    assert watched.presences()["clinic"] is Presence.JOINED


def test_a_client_of_other_versions_takes_no_part(watched: Watched) -> None:
    watched.reject("clinic", "flwr: server has 2, client has 1")
    assert watched.node_ids() == []
    assert watched.presences()["clinic"] is Presence.TURNED_AWAY
    watched.join("clinic")  # deployed again
    assert watched.node_ids() == [flower.number_of("clinic")]
    watched.reject("clinic", "a second process of another release")
    assert watched.presences()["clinic"] is Presence.JOINED


def test_a_refused_reply_is_an_error_reply_with_the_reason(watched: Watched) -> None:
    message_id = watched.send("clinic")
    watched.refuse(message_id, "the reply has 99 bytes")
    ((kind, told),) = watched.told
    assert (kind, told["client"], told["reason"]) == ("refused", "clinic", "the reply has 99 bytes")
    assert told["id"] == message_id
    (reply,) = watched.collect([message_id])
    assert (reply.error.code, reply.error.reason) == (flower.REPLY_REFUSED, "the reply has 99 bytes")
    watched.refuse(message_id, "twice")
    assert watched.collect([message_id]) == []


@pytest.mark.parametrize("kind", [Kind.END, Kind.ABORT])
def test_everybody_hears_how_the_run_ended_even_who_comes_late(watched: Watched, kind: Kind) -> None:
    outbox = watched.join("clinic")
    watched.end(kind, reason="over")
    for one in (outbox, watched.join("insurer")):
        assert queued(one) == [wire.control(kind, reason="over"), None]


def test_the_server_waits_until_everybody_has_heard(watched: Watched) -> None:
    outbox = watched.join("clinic")
    watched.end(Kind.END)
    waiting = threading.Thread(target=watched.wait_for_partings, args=(60,))
    waiting.start()
    assert waiting.is_alive()
    watched.disconnect("clinic", outbox, leave_reason=None)
    waiting.join(20)
    assert not waiting.is_alive()
    assert ("lost", "clinic") not in watched.events  # an end is no loss


def test_a_reply_may_be_as_large_as_what_was_asked_for() -> None:
    """A Hessian of 2,000 features has 32 MB, twice the floor, whatever its small request has."""
    made, size = Exchange(["clinic"]), 2_001**2 * 8
    made.allow(size)
    message = Message(RecordDict(), flower.number_of("clinic"), "train")
    pending = made.pending("clinic", made.post(message))
    assert pending is not None
    assert pending.reply_limit >= size > exchange.REPLY_FLOOR


@pytest.mark.parametrize(("masked", "ratio"), [(False, 1), (True, exchange.MASKED_RATIO)])
def test_a_reply_may_be_twice_its_request_and_never_less_than_the_floor(*, masked: bool, ratio: int) -> None:
    def limit(**options: Any) -> tuple[int, int]:
        made = Exchange(["clinic"], masked=masked, **options)
        message = Message(RecordDict(), flower.number_of("clinic"), "train")
        pending = made.pending("clinic", made.post(message))
        assert pending is not None
        return pending.reply_limit, sum(map(len, pending.parts))

    assert limit()[0] == ratio * exchange.REPLY_FLOOR
    assert limit(largest_reply=1000)[0] == ratio * 1000
    least, request = limit(largest_reply=1)
    assert least == 2 * ratio * request


def test_whatever_the_watcher_raises_ends_the_wait_and_no_conversation() -> None:
    """Or a reply that came is lost, and a conversation that was begun is never over."""

    def wrong(kind: str, **_: Any) -> None:
        raise PermissionError(f"{kind}: the ledger's folder cannot be read")

    broken = Exchange(["clinic"])
    broken.watch(wrong)
    outbox = broken.join("clinic")
    message_id = broken.post(Message(RecordDict(), flower.number_of("clinic"), "train"))
    pending = broken.pending("clinic", message_id)
    assert pending is not None
    broken.deliver(message_id, Message(RecordDict(), reply_to=pending.message))
    broken.disconnect("clinic", outbox, leave_reason=None)
    with pytest.raises(PermissionError, match="joined"):
        broken.wait_for_replies([message_id], 60)
