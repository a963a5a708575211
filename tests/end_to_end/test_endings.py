"""How a client's part in a run ends: in order, by an abort, by itself, or by giving up."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flwr.app import Message, RecordDict

from end_to_end.hub import Counting, Hub, code_of, echo
from rehearsal.link.proxy import Proxy
from rehearsal.link.waiting import eventually
from runtime.contract import ExitCode
from runtime.link import flower
from runtime.link.wire import Kind


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub("clinic", "insurer")
    yield hub
    hub.close()


@pytest.fixture
def proxy(hub: Hub) -> Iterator[Proxy]:
    proxy = Proxy(hub.address)
    yield proxy
    proxy.close()


def test_a_client_that_is_stopped_says_goodbye_and_is_not_waited_for(hub: Hub) -> None:
    def stopped(message: Message) -> Message:
        raise KeyboardInterrupt

    running = hub.start({"clinic": stopped, "insurer": echo})
    gone, there = hub.ask(["clinic", "insurer"])
    assert gone.error.reason == "clinic left: it was stopped"
    assert not there.has_error()
    assert hub.count("left", "clinic") == 1
    assert isinstance(running["clinic"].end(), KeyboardInterrupt)


def test_an_orderly_end_reaches_every_client(hub: Hub) -> None:
    running = hub.start({"clinic": echo, "insurer": echo})
    hub.exchange.end(Kind.END)
    assert [one.end() for one in running.values()] == [None, None]


def test_an_abort_reaches_every_client_with_its_reason(hub: Hub) -> None:
    running = hub.start({"clinic": echo})
    hub.exchange.end(Kind.ABORT, reason="it was stopped")
    error = running["clinic"].end()
    assert code_of(error) is ExitCode.ABORTED
    assert "it was stopped" in str(error)


def test_an_abort_is_heard_before_messages_that_wait(hub: Hub) -> None:
    started, release = threading.Event(), threading.Event()
    counting = Counting()

    def slow(message: Message) -> Message:
        started.set()
        release.wait(60)
        return counting(message)

    running = hub.start({"clinic": slow})
    hub.grid.push_messages([Message(RecordDict(), flower.number_of("clinic"), "train") for _ in range(3)])
    assert started.wait(60)
    hub.exchange.end(Kind.ABORT, reason="it was stopped")
    eventually(lambda: hub.exchange._members["clinic"].outbox is None, "the client to hang up")
    release.set()
    assert code_of(running["clinic"].end()) is ExitCode.ABORTED
    assert len(counting.calls) == 1


def test_a_client_that_comes_back_after_the_end_hears_of_it(hub: Hub, proxy: Proxy) -> None:
    running = hub.client(hub.enrol("clinic")["clinic"], echo, address=proxy.address)
    hub.await_event("joined", "clinic")
    proxy.cut()
    hub.exchange.end(Kind.END)
    assert running.end() is None


def test_a_server_that_is_gone_is_given_up_on(hub: Hub, proxy: Proxy) -> None:
    running = hub.client(hub.enrol("clinic")["clinic"], echo, address=proxy.address, give_up_seconds=0.5)
    hub.await_event("joined", "clinic")
    proxy.close()
    error = running.end()
    assert code_of(error) is ExitCode.UNREACHABLE
    assert proxy.address in str(error)


def test_a_client_stops_when_its_run_may_take_no_longer(hub: Hub) -> None:
    running = hub.client(hub.enrol("clinic")["clinic"], echo, run_seconds=0.7)
    assert code_of(running.end()) is ExitCode.RUN_DEADLINE


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "a..b:9092", f"{'x' * 70}.invalid:9092"])
def test_an_address_that_cannot_be_is_an_error_not_a_hang(hub: Hub, address: str) -> None:
    running = hub.client(hub.enrol("clinic")["clinic"], echo, address=address, give_up_seconds=0.2)
    assert code_of(running.end()) in (ExitCode.UNREACHABLE, ExitCode.CONFIG)


def test_whatever_breaks_the_connections_thread_ends_the_client(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would tell the thread that waits for messages: it would wait for ever."""

    def broken(*_: object, **__: object) -> bytes:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("runtime.link.identity.fetch_certificate", broken)
    error = hub.client(hub.enrol("clinic")["clinic"], echo).end()
    assert isinstance(error, RuntimeError)
