from __future__ import annotations

from pathlib import Path

import pytest
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from server_fixture import NAMES, settings

from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.link.exchange import Exchange
from runtime.link.grid import LinkGrid
from runtime.server.run.join import join


def grid(exchange: Exchange, patience: float = 0.0) -> LinkGrid:
    return LinkGrid(exchange, min_clients=1, patience_seconds=patience)


def test_it_is_a_grid_of_flowers() -> None:
    made = grid(Exchange(NAMES))
    assert isinstance(made, Grid)
    assert made.run.run_id == 1
    made.set_run(run := flower.Run.create_empty(2))
    assert made.run is run
    assert made.create_message(RecordDict(), "train", 7, "group").metadata.dst_node_id == 7


def test_before_the_run_begins_clients_may_be_few() -> None:
    assert list(grid(Exchange(NAMES)).get_node_ids()) == []


def test_once_it_has_begun_a_lack_of_clients_has_a_deadline() -> None:
    exchange = Exchange(NAMES)
    exchange.reject("insurer", "flwr: server has 2, client has 1")
    made = grid(exchange)
    made.begin()
    with pytest.raises(FedstackError, match="0 clients are present, 1 are needed") as raised:
        made.get_node_ids()
    assert raised.value.code is ExitCode.QUORUM
    assert "clinic: never joined, insurer: refused: other versions" in raised.value.what


def test_a_message_begins_the_run() -> None:
    exchange = Exchange(NAMES)
    outbox = exchange.join("clinic")
    made = grid(exchange)
    made.push_messages([Message(RecordDict(), flower.number_of("clinic"), "train")])
    assert list(made.get_node_ids()) == [flower.number_of("clinic")]
    exchange.disconnect("clinic", outbox, leave_reason="it was stopped")
    with pytest.raises(FedstackError, match="clinic: left"):
        made.get_node_ids()


def test_the_patience_starts_anew_when_there_were_enough() -> None:
    exchange = Exchange(NAMES)
    made = grid(exchange, patience=600)
    made.begin()
    assert list(made.get_node_ids()) == []
    assert made._short_since is not None
    exchange.join("clinic")
    assert len(list(made.get_node_ids())) == 1
    assert made._short_since is None


def test_the_end_of_the_joining_begins_the_run(tmp_path: Path) -> None:
    """A resumed run sends no message before its first round, which Flower waits for without a deadline."""
    exchange = Exchange(NAMES)
    made = grid(exchange)
    outboxes = {name: exchange.join(name) for name in NAMES}
    join(made, settings(tmp_path), lambda *_, **__: None)
    for name, outbox in outboxes.items():
        exchange.disconnect(name, outbox, leave_reason="it was stopped")
    with pytest.raises(FedstackError, match="0 clients are present"):
        made.get_node_ids()


def test_no_reply_in_time_is_an_error_reply_in_its_place() -> None:
    exchange = Exchange(NAMES)
    for name in NAMES:
        exchange.join(name)
    messages = [Message(RecordDict(), flower.number_of(name), "train") for name in NAMES]
    replies = list(grid(exchange).send_and_receive(messages, timeout=0.0))
    assert [reply.metadata.src_node_id for reply in replies] == [flower.number_of(name) for name in NAMES]
    assert {reply.error.reason for reply in replies} == {"no reply within 0 s"}
    assert exchange.open_messages("clinic") == []


def test_who_does_not_answer_is_written_down_in_the_order_in_which_all_were_asked() -> None:
    names = [f"clinic-{number:02}" for number in range(20)]
    exchange, missed = Exchange(names), list[str]()
    for name in names:
        exchange.join(name)
    exchange.watch(lambda kind, client="", **_: missed.append(client) if kind == "missed" else None)
    messages = [Message(RecordDict(), flower.number_of(name), "train") for name in names]
    came = list(grid(exchange).as_they_come(messages, timeout=0.0))
    assert {one.metadata.src_node_id for one in came} == {*map(flower.number_of, names)}
    assert missed == names
