"""What one client can do to the loop that holds all streams: nothing that another one notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import grpc
import pytest
from flwr.app import Message

from end_to_end.hub import Hub, arrays, echo
from rehearsal.drills.intruders import Stream
from rehearsal.link.waiting import eventually
from runtime.link import flower, wire
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
    """Or one client's reply keeps the loop for as long as it takes to read it: seconds, if it is made for that."""
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
