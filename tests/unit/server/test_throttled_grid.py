"""Few messages are on their way at once, and every reply that comes in time is returned."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from flwr.app import Message, RecordDict

from rehearsal.in_process import MemoryGrid
from runtime.link import flower
from runtime.server.engines.throttled_grid import MOST, ThrottledGrid


class Slow(MemoryGrid):
    """A grid whose nodes answer one message each time that replies are pulled, but for those of `silent`."""

    def __init__(self, silent: frozenset[int] = frozenset()) -> None:
        super().__init__({})
        self.on_way: dict[str, Message] = {}
        self.most, self.silent = 0, silent

    def get_node_ids(self) -> Iterable[int]:
        return [1, 2]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        for message in messages:
            flower.stamp(message, f"message-{self.messages}")
            self.messages += 1
            self.on_way[message.metadata.message_id] = message
        self.most = max(self.most, len(self.on_way))
        return list(self.on_way)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        able = [one for one in message_ids if self.on_way[one].metadata.dst_node_id not in self.silent]
        return [Message(RecordDict(), reply_to=self.on_way.pop(one)) for one in sorted(able)[:1]]


def asked(count: int) -> list[Message]:
    return [Message(RecordDict(), node, "train") for node in range(1, count + 1)]


def test_every_node_answers_and_no_more_than_a_window_is_on_its_way() -> None:
    grid = Slow()
    replies = list(ThrottledGrid(grid).send_and_receive(asked(3 * MOST), timeout=None))
    assert sorted(one.metadata.src_node_id for one in replies) == list(range(1, 3 * MOST + 1))
    assert grid.most == MOST


def test_who_is_silent_is_waited_for_until_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("runtime.server.engines.throttled_grid.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("runtime.server.engines.throttled_grid.time.sleep", lambda _: None)
    grid = Slow(silent=frozenset({2}))
    replies = list(ThrottledGrid(grid).send_and_receive(asked(3), timeout=20))
    assert sorted(one.metadata.src_node_id for one in replies) == [1, 3]


def test_nothing_is_sent_where_there_is_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Slow()
    assert list(ThrottledGrid(grid).send_and_receive(asked(3), timeout=0.0)) == []
    assert grid.messages == 0


def test_the_rest_of_the_grid_is_as_it_was() -> None:
    grid = Slow()
    around = ThrottledGrid(grid)
    around.set_run(grid.run)
    assert around.run is grid.run
    assert list(around.get_node_ids()) == [1, 2]
    (sent,) = around.push_messages(asked(1))
    assert [one.metadata.reply_to_message_id for one in around.pull_messages([sent])] == [sent]
    made = around.create_message(RecordDict(), "train", 7, "1")
    assert (made.metadata.dst_node_id, made.metadata.message_type) == (7, "train")
