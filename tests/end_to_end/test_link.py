"""The link in one process: what it carries, when it breaks, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import Message, RecordDict

from end_to_end.hub import Counting, Hub, arrays, echo
from rehearsal.link.proxy import Proxy
from rehearsal.link.waiting import eventually
from runtime.link import flower, wire
from runtime.link.client import handle_with
from runtime.link.wire import Kind


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub("clinic", "insurer", "pharmacy")
    yield hub
    hub.close()


@pytest.fixture
def proxy(hub: Hub) -> Iterator[Proxy]:
    proxy = Proxy(hub.address)
    yield proxy
    proxy.close()


def test_each_client_answers_with_its_own_in_the_order_of_the_messages(hub: Hub) -> None:
    def say(value: float) -> Counting:
        return Counting(arrays(80, value))

    hub.start({"clinic": say(1), "insurer": say(2), "pharmacy": say(3)})
    replies = hub.ask(["pharmacy", "clinic", "insurer"])
    assert [reply.metadata.src_node_id for reply in replies] == [
        flower.number_of(name) for name in ("pharmacy", "clinic", "insurer")
    ]
    values = [reply.content.array_records["arrays"]["w"].numpy()[0] for reply in replies]
    assert values == [3, 1, 2]


def test_fifty_megabytes_pass_both_ways(hub: Hub) -> None:
    hub.start({"clinic": echo})
    sent = RecordDict({"arrays": arrays(50_000_000)["arrays"]})
    (reply,) = hub.ask(["clinic"], sent)
    array = reply.content.array_records["arrays"]["w"].numpy()
    assert array.nbytes == 50_000_000
    np.testing.assert_array_equal(array, 0.0)


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_message_that_a_cut_interrupts_is_sent_again_and_handled_once(
    hub: Hub, proxy: Proxy, way: str
) -> None:
    handler, own = Counting(), hub.enrol("clinic")["clinic"]
    hub.client(own, handler, address=proxy.address)
    hub.await_event("joined", "clinic")
    proxy.cut_after(**{way: 8_000_000})
    (reply,) = hub.ask(["clinic"], arrays(20_000_000, 7.0))
    np.testing.assert_array_equal(reply.content.array_records["arrays"]["w"].numpy(), 7.0)
    assert proxy.cuts == 1
    hub.ask(["clinic"])  # whatever came twice was handled before this
    assert len(handler.calls) == len(set(handler.calls)) == 2
    assert (hub.count("lost", "clinic"), hub.count("rejoined", "clinic")) == (1, 1)


def test_a_message_that_comes_again_while_it_is_handled_is_not_handled_again(hub: Hub, proxy: Proxy) -> None:
    handled, go_on, replies = threading.Event(), threading.Event(), list[Message]()
    counting = Counting()

    def slow(message: Message) -> Message:
        handled.set()
        assert go_on.wait(60)
        return counting(message)

    hub.client(hub.enrol("clinic")["clinic"], slow, address=proxy.address)
    hub.await_event("joined", "clinic")
    asked = threading.Thread(target=lambda: replies.extend(hub.ask(["clinic"], arrays(1_000_000, 5.0))))
    asked.start()
    assert handled.wait(60)
    proxy.cut()
    hub.await_event("rejoined", "clinic")
    eventually(lambda: proxy.down > 2_000_000, "the message for the second time")
    go_on.set()
    asked.join(60)
    assert not replies[0].has_error()
    hub.ask(["clinic"])  # whatever came twice was handled before this
    assert len(counting.calls) == len(set(counting.calls)) == 2


def test_what_was_answered_while_the_link_was_down_is_not_handled_again(hub: Hub, proxy: Proxy) -> None:
    handled, go_on, replies = threading.Event(), threading.Event(), list[Message]()
    counting = Counting()

    def slow(message: Message) -> Message:
        handled.set()
        assert go_on.wait(60)
        return counting(message)

    hub.client(hub.enrol("clinic")["clinic"], slow, address=proxy.address)
    hub.await_event("joined", "clinic")
    asked = threading.Thread(target=lambda: replies.extend(hub.ask(["clinic"], arrays(800, 5.0))))
    asked.start()
    assert handled.wait(60)
    proxy.refuse()
    hub.await_event("lost", "clinic")
    go_on.set()
    eventually(lambda: counting.calls, "the answer")
    proxy.accept()
    asked.join(60)
    assert not replies[0].has_error()
    hub.ask(["clinic"])
    assert len(counting.calls) == len(set(counting.calls)) == 2


def test_many_cuts_lose_and_repeat_nothing(hub: Hub, proxy: Proxy) -> None:
    handler = Counting()
    hub.client(hub.enrol("clinic")["clinic"], handler, address=proxy.address)
    hub.await_event("joined", "clinic")
    for number in range(1, 6):
        proxy.cut_after(up=number * 300)
        (reply,) = hub.ask(["clinic"], arrays(8_000, number))
        assert reply.content.array_records["arrays"]["w"].numpy()[-1] == number
    assert len(handler.calls) == len(set(handler.calls)) == 5
    assert hub.count("rejoined", "clinic") == proxy.cuts > 1


def test_a_client_app_that_raises_is_an_error_reply_that_quotes_no_data(hub: Hub) -> None:
    def leak(message: Message, context: object) -> Message:
        raise ValueError("patient K4711 has 3 claims")

    running = hub.start({"clinic": handle_with(leak, None), "insurer": echo})
    bad, good = hub.ask(["clinic", "insurer"])
    assert (bad.error.code, bad.error.reason) == (flower.CLIENT_APP_FAILED, "ValueError")
    assert not good.has_error()
    assert "K4711" not in str(hub.told)  # a hash may have the number, but no K
    hub.close()
    assert [one.end() for one in running.values()] == [None, None]


def test_an_oversized_reply_is_refused_by_name_and_never_buffered(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[int] = []
    feed = wire.Assembler.feed

    def spy(self: wire.Assembler, data: memoryview) -> bool:
        fed.append(len(data))
        return feed(self, data)

    huge = Counting(arrays(40_000_000))
    hub.start({"clinic": huge, "insurer": echo})
    monkeypatch.setattr(wire.Assembler, "feed", spy)
    bad, good = hub.ask(["clinic", "insurer"], arrays(80))
    assert str(bad.error.reason).startswith("the reply has 40,000,")
    assert str(bad.error.reason).endswith("the limit is 16,777,216")
    assert not good.has_error()
    assert sum(fed) < 10_000
    assert hub.count("refused", "clinic") == 1
    huge._reply = None
    assert not hub.ask(["clinic"])[0].has_error()  # the conversation goes on


def test_a_reply_in_the_name_of_another_is_refused(hub: Hub) -> None:
    def forge(message: Message) -> Message:
        reply = echo(message)
        reply.metadata.__dict__["_src_node_id"] = flower.number_of("insurer")
        return reply

    hub.start({"clinic": forge, "insurer": echo})
    bad, good = hub.ask(["clinic", "insurer"])
    assert "a reply of node" in str(bad.error.reason)
    assert not good.has_error()


def test_a_client_that_hangs_costs_the_round_its_deadline_and_no_more(hub: Hub) -> None:
    release = threading.Event()

    def hang(message: Message) -> Message:
        release.wait(60)
        return echo(message)

    running = hub.start({"clinic": hang, "insurer": echo})
    missing, there = hub.ask(["clinic", "insurer"], timeout=0.3)
    assert missing.error.reason == "no reply within 0.3 s"
    assert not there.has_error()
    assert hub.count("missed", "clinic") == 1
    release.set()  # its late reply is dropped
    assert not hub.ask(["clinic"])[0].has_error()
    hub.exchange.end(Kind.END)
    assert running["clinic"].end() is None
