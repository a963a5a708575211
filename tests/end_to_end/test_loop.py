"""What one client can do to the loop that holds all streams: nothing that another one notices."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import grpc
import pytest
from flwr.app import Message

from end_to_end.hub import Hub, arrays, echo
from rehearsal.drills.intruders import Stream
from rehearsal.link.waiting import eventually
from runtime.link import flower, identity, wire
from runtime.link.conversation import Conversation
from runtime.link.versions import versions
from runtime.link.wire import Kind


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub("clinic", "insurer")
    yield hub
    hub.close()


def stream(hub: Hub, *frames: bytes) -> Stream:
    """Join as the clinic, say this, and read nothing."""
    hello = wire.control(Kind.HELLO, versions=versions())
    return Stream(hub.address, hub.own.certificate, hub.trusted["clinic"], [hello, *frames])


def test_what_is_large_is_put_together_in_a_thread_however_small_its_last_frame(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one client's reply keeps the loop while it is read: for seconds, if it is made for that."""
    took, take = list[tuple[int, str]](), Conversation._take

    def spy(self: Conversation, frame: bytes) -> None:
        took.append((len(frame), threading.current_thread().name))
        take(self, frame)

    monkeypatch.setattr(Conversation, "_take", spy)
    hub.start({"clinic": echo})
    for size in (80, wire.CHUNK + 80):
        assert not hub.ask(["clinic"], arrays(size))[0].has_error()
    (small, loop), (_, thread), (last, also) = took
    assert max(small, last) < 1000 < wire.CHUNK
    assert loop == "link"
    assert thread.startswith("link-digests")
    assert also.startswith("link-digests")


def test_a_message_that_begins_within_another_breaks_the_protocol(hub: Hub) -> None:
    """Or a client begins one without end, and each time memory is looked through for room for it."""
    hub.enrol("clinic")
    begun = next(wire.message_frames("message-1", [bytes(8)]))[:-1]
    with closing(stream(hub, begun, begun)):
        hub.await_event("left", "clinic")
    assert "within another" in hub.told[-1][1]["reason"]


def test_streams_that_read_nothing_count_for_as_long_as_they_are_open(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun to be sent is held until it is read, or the connection ends: replaced or not."""
    ended, hold = list[str](), Conversation.hold

    async def spy(self: Conversation) -> None:
        try:
            await hold(self)
        finally:
            ended.append(self._name)

    monkeypatch.setattr(Conversation, "hold", spy)
    monkeypatch.setattr("runtime.link.conversation.REPLACED_GRACE_SECONDS", 0.1)
    hub.enrol("clinic")
    with closing(stream(hub)) as first:
        hub.await_event("joined", "clinic")
        hub.exchange.post(Message(arrays(20_000_000), flower.number_of("clinic"), "train"))
        with closing(stream(hub)):
            eventually(lambda: ended, "the end of the first conversation")
            assert first.open()  # nobody reads how it ended
            with closing(stream(hub)) as third:
                eventually(lambda: not third.open() or hub.count("rejoined", "clinic") > 1, "an answer")
                assert hub.count("rejoined", "clinic") == 1
                assert third.answers.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    hub.client(hub.trusted["clinic"], echo)  # and it may come as soon as they are closed
    hub.await_event("rejoined", "clinic", times=2)


def test_a_call_that_makes_grpc_give_up_closes_the_port_to_nobody(hub: Hub) -> None:
    """It reads a call's method before any code of ours does, and ends the server if that is no text."""
    hub.start({"clinic": echo})
    own = hub.enrol("insurer")["insurer"]
    shown = grpc.ssl_channel_credentials(hub.own.certificate, own.key, own.certificate)
    options = (("grpc.ssl_target_name_override", identity.SERVER_NAME),)
    with grpc.secure_channel(hub.address, shown, options) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(b"/\xff")(b"", timeout=30)
    hub.client(own, echo)
    hub.await_event("joined", "insurer")
    assert not any(reply.has_error() for reply in hub.ask(["clinic", "insurer"]))
    assert [kind for kind, _ in hub.told if kind == "listener_renewed"] == ["listener_renewed"]


def test_nobody_is_listened_to_after_the_end(hub: Hub) -> None:
    hub.enrol("clinic")
    hub.server.stop()
    hub.enrol("insurer")
    host, _, port = hub.address.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port))).close()
