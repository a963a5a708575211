"""Replies that are taken as they come: many streams at once, and what a client can do to the others' sum."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from end_to_end.hub import Hub, arrays
from rehearsal.link.proxy import Proxy
from rehearsal.link.waiting import PATIENCE
from runtime.link import flower
from runtime.link.client import Handler
from runtime.server.aggregation.replies import arrays_of
from runtime.server.aggregation.running import RunningMean
from runtime.server.aggregation.validation import Expected, Sorted, check_reply
from runtime.tabular.server import plain_round

MANY = [f"clinic-{number}" for number in range(60)]
LIKE = Expected(ArrayRecord({"w": Array(np.zeros(2_000_000))}))


@pytest.fixture
def hub(request: pytest.FixtureRequest) -> Iterator[Hub]:
    hub = Hub(*getattr(request, "param", ("clinic", "insurer", "pharmacy", "laboratory")))
    yield hub
    hub.close()


def question(names: Iterable[str]) -> list[Message]:
    return [Message(RecordDict(), flower.number_of(name), "train") for name in names]


def update(value: float, size: int = 16_000_000) -> Handler:
    """Reply with an update of one row."""

    def handle(message: Message) -> Message:
        content = RecordDict({**arrays(size, value), "metrics": MetricRecord({"num-examples": 1})})
        return Message(content, reply_to=message)

    return handle


def exchanged(hub: Hub, names: Iterable[str], seconds: float) -> Sorted:
    return plain_round.exchange(
        *(hub.grid, question(names), seconds),
        lambda reply: check_reply(reply, frozenset({"num-examples"}), LIKE),
        RunningMean(),
    )


@pytest.mark.parametrize("hub", [MANY], indirect=True)
def test_sixty_live_streams_lose_nobody(hub: Hub) -> None:
    hub.start({name: update(number, 400) for number, name in enumerate(MANY)})
    for _ in range(3):
        came = list(hub.grid.as_they_come(question(MANY)))
        assert sorted(one.metadata.src_node_id for one in came) == sorted(map(flower.number_of, MANY))
        values = sorted(arrays_of(one.content)["arrays"]["w"].numpy()[0] for one in came)
        assert values == [*range(len(MANY))]
    assert {kind for kind, _ in hub.told} == {"joined", "exchanged"}
    assert hub.exchange.open_messages(MANY[0]) == []


def test_a_reply_is_there_while_another_client_still_works(hub: Hub) -> None:
    go_on = threading.Event()

    def slow(message: Message) -> Message:
        assert go_on.wait(60)
        return update(2.0, 80)(message)

    hub.start({"clinic": slow, "insurer": update(1.0, 80)})
    came = hub.grid.as_they_come(question(["clinic", "insurer"]))
    assert next(came).metadata.src_node_id == flower.number_of("insurer")
    go_on.set()
    assert [one.metadata.src_node_id for one in came] == [flower.number_of("clinic")]


def test_who_breaks_off_or_sends_too_much_leaves_no_trace_in_the_mean(hub: Hub) -> None:
    proxy = Proxy(hub.address)
    own = hub.enrol("clinic", "insurer", "pharmacy", "laboratory")
    hub.client(own["clinic"], update(4.0), address=proxy.address, give_up_seconds=0.0)
    hub.client(own["insurer"], update(1.0))
    hub.client(own["pharmacy"], update(9.0, 24_000_000))
    hub.client(own["laboratory"], update(2.0))
    hub.await_event("joined", *hub.names)
    proxy.cut_after(up=8_000_000)
    threading.Thread(target=gone, args=(hub,), daemon=True).start()
    found = exchanged(hub, hub.names, PATIENCE)
    proxy.close()
    reasons = {name: found.refused.get(flower.number_of(name), "") for name in hub.names}
    assert reasons.pop("pharmacy").startswith("the reply has 24,000,")
    assert reasons == {"clinic": "clinic left: its job ended", "insurer": "", "laboratory": ""}
    (mean,) = found.summed
    np.testing.assert_array_equal(arrays_of(mean.content)["arrays"]["w"].numpy(), 1.5)
    assert [name for name in hub.names if hub.count("lost", name)] == ["clinic"]


def gone(hub: Hub) -> None:
    """Say that a client's job ended, once its stream broke off in the middle of its reply."""
    hub.await_event("lost", "clinic")
    hub.exchange.remove("clinic", "left", "its job ended")
