"""Both sides' ledgers over real TLS: their lines match one to one, whatever happens on the way."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from end_to_end.hub import Counting, arrays, echo
from end_to_end.kept import Kept
from rehearsal.link.proxy import Proxy
from rehearsal.link.waiting import eventually
from runtime.ledger import LedgerError, read
from runtime.link import flower, wire
from runtime.link.client import Handler, handle_with
from runtime.link.wire import Kind
from runtime.sides import load
from runtime.verify import verdict


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path, "clinic", "insurer")
    yield kept
    kept.close()


@contextmanager
def proxied(kept: Kept) -> Iterator[Proxy]:
    proxy = Proxy(kept.address)
    yield proxy
    proxy.close()


def asked(
    kept: Kept, kind: str, content: RecordDict, *names: str, timeout: float | None = None
) -> list[Message]:
    messages = [Message(content, flower.number_of(name), kind) for name in names]
    return list(kept.grid.send_and_receive(messages, timeout=timeout))


def test_every_message_has_one_line_on_each_side_and_they_say_the_same(kept: Kept) -> None:
    def fails(message: Message, context: object) -> Message:
        if message.metadata.message_type == "evaluate":
            raise ValueError("patient 4711")
        return echo(message)

    kept.enter("clinic", handle_with(fails, None))
    kept.enter("insurer", echo)
    config = RecordDict({"config": ConfigRecord({"round": 1, "names": ["a", "b"]})})
    asked(kept, "train", arrays(800, 1.0), "clinic", "insurer")
    asked(kept, "train", arrays(5_000_000, 2.0), "clinic")
    asked(kept, "evaluate", config, "clinic", "insurer")
    said, ours, theirs = kept.verify("clinic")
    assert said.endswith("3 answers of clinic match one to one.")
    assert [one["message"] for one in ours] == ["train", "train", "evaluate"]
    assert [one["event"] for one in ours] == ["exchanged"] * 3
    for mine, other in zip(theirs, ours, strict=True):
        for ours_has, theirs_has in (
            ("id", "id"),
            ("message", "message"),
            ("request_sha256", "request_sha256"),
            ("reply_sha256", "reply_sha256"),
            ("bytes_down", "bytes_in"),
            ("bytes_up", "bytes_out"),
            ("client_ledger", "sha256"),
        ):
            assert other[ours_has] == mine[theirs_has], ours_has
    assert theirs[2]["error"] == "ValueError"
    assert [one["request_sha256"] == one["reply_sha256"] for one in theirs] == [True, True, False]
    assert theirs[1]["bytes_in"] > 5_000_000
    insurer = kept.verify("insurer")[1]
    assert insurer[0]["request_sha256"] == ours[0]["request_sha256"]  # everybody was sent the same
    assert insurer[1]["reply_sha256"] != ours[2]["reply_sha256"]


def test_the_bytes_are_those_of_the_frames(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    cut = wire.message_frames

    def counted(*args: Any, **options: Any) -> Iterator[bytes]:
        frames = list(cut(*args, **options))
        sizes.append(sum(map(len, frames)))
        return iter(frames)

    monkeypatch.setattr(wire, "message_frames", counted)
    kept.enter("clinic", echo)
    asked(kept, "train", arrays(3 * wire.CHUNK), "clinic")
    (line,) = kept.verify("clinic")[1]
    assert [line["bytes_down"], line["bytes_up"]] == sizes


def test_an_answer_is_on_the_disk_before_anything_of_it_leaves(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    fsync, cut = os.fsync, wire.message_frames

    def synced(number: int) -> None:
        fsync(number)
        happened.append(f"{len(read(kept.folder / 'clinic.jsonl'))} lines synced")

    def leaves(message_id: str, parts: list[bytes], received: Any = (), ledger: str = "") -> Iterator[bytes]:
        if ledger:
            happened.append("reply")
        return cut(message_id, parts, received, ledger)

    kept.enter("clinic", echo)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(wire, "message_frames", leaves)
    for _ in range(2):
        asked(kept, "train", arrays(80), "clinic")
    assert happened == ["2 lines synced", "reply", "3 lines synced", "reply"]


def test_an_answer_that_cannot_be_written_down_does_not_leave(kept: Kept) -> None:
    def full(*_: object) -> str:
        raise OSError("no space left on device")

    own = kept.enrol("clinic")["clinic"]
    running = kept.client(own, echo, record=full)
    kept.await_event("joined", "clinic")
    (reply,) = asked(kept, "train", arrays(80), "clinic")
    assert reply.error.reason == "clinic left: OSError"
    assert isinstance(running.end(), OSError)


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_is_sent_twice_because_of_a_cut_has_one_line(kept: Kept, way: str) -> None:
    handler = Counting()
    with proxied(kept) as proxy:
        kept.enter("clinic", handler, address=proxy.address)
        asked(kept, "train", arrays(80), "clinic")
        proxy.cut_after(**{way: 8_000_000})
        asked(kept, "train", arrays(20_000_000, 7.0), "clinic")
        assert proxy.cuts == 1
        asked(kept, "evaluate", arrays(80), "clinic")
        said, ours, theirs = kept.verify("clinic")
    assert said.endswith("3 answers of clinic match one to one.")
    assert len(ours) == len(theirs) == len(handler.calls) == 3


def test_a_reply_that_is_sent_twice_has_one_line(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply reaches the server, the news of it does not reach the client, which is asked once more."""
    sent: list[str] = []
    cut = wire.message_frames

    def noted(message_id: str, parts: list[bytes], received: Any = (), ledger: str = "") -> Iterator[bytes]:
        if ledger:
            sent.append(message_id)
        return cut(message_id, parts, received, ledger)

    monkeypatch.setattr(wire, "message_frames", noted)
    with proxied(kept) as proxy:
        kept.enter("clinic", echo, address=proxy.address)
        deliver, twice = kept.exchange.deliver, threading.Event()

        def late(message_id: str, reply: Message, **came: Any) -> None:
            if not twice.is_set():
                twice.set()
                proxy.cut()
                kept.await_event("rejoined", "clinic")
                eventually(lambda: len(sent) >= 2, "the reply for the second time")
            deliver(message_id, reply, **came)

        monkeypatch.setattr(kept.exchange, "deliver", late)
        (reply,) = asked(kept, "train", arrays(80_000, 3.0), "clinic")
        assert not reply.has_error()
        asked(kept, "evaluate", arrays(80), "clinic")
        said, ours, theirs = kept.verify("clinic")
    assert sent == ["message-1", "message-1", "message-2"]
    assert said.endswith("2 answers of clinic match one to one.")
    assert len(ours) == len(theirs) == 2


def test_a_refused_reply_has_a_line_on_both_sides_with_the_reason(kept: Kept) -> None:
    answers: list[Handler] = [Counting(arrays(20_000_000)), _forged, echo]
    kept.enter("clinic", lambda message: answers.pop(0)(message))
    for _ in range(3):
        asked(kept, "train", arrays(80), "clinic")
    said, ours, _ = kept.verify("clinic")
    assert said.endswith("3 answers of clinic match one to one.")
    assert [one["event"] for one in ours] == ["refused", "refused", "exchanged"]
    assert ours[0]["reason"].startswith("the reply has 20,000,")
    assert ours[0]["reply_sha256"] is None
    assert ours[0]["bytes_up"] > 20_000_000
    assert ours[1]["reason"].startswith("a reply of node")
    assert ours[1]["reply_sha256"] is not None


def _forged(message: Message) -> Message:
    reply = echo(message)
    reply.metadata.__dict__["_src_node_id"] = flower.number_of("insurer")
    return reply


def test_an_answer_that_comes_too_late_is_missed_and_still_verifies(kept: Kept) -> None:
    go_on = threading.Event()

    def slow(message: Message) -> Message:
        assert go_on.wait(60)
        return echo(message)

    kept.enter("clinic", slow)
    (late,) = asked(kept, "train", arrays(80), "clinic", timeout=0.1)
    assert late.has_error()
    go_on.set()
    asked(kept, "evaluate", arrays(80), "clinic")
    said, ours, theirs = kept.verify("clinic")
    assert "1 answers of clinic match one to one; 1 more did not reach the server" in said
    assert [one["event"] for one in ours] == ["missed", "exchanged"]
    assert [one["message"] for one in theirs] == ["train", "evaluate"]


def test_what_is_open_when_the_run_ends_is_missed_and_still_verifies(kept: Kept) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(message: Message) -> Message:
        started.set()
        assert go_on.wait(60)
        return echo(message)

    kept.enter("clinic", slow)
    kept.grid.push_messages([Message(arrays(80), flower.number_of("clinic"), "train") for _ in range(2)])
    assert started.wait(60)
    kept.finish(Kind.ABORT)
    eventually(lambda: kept.exchange._members["clinic"].outbox is None, "the client to hang up")
    go_on.set()
    said, ours, theirs = kept.verify("clinic")
    assert "0 answers of clinic match one to one; 1 more did not reach the server" in said
    assert [one["reason"] for one in ours] == ["the run ended before the reply came"] * 2
    assert len(theirs) == 1


@pytest.mark.parametrize("kind", [Kind.END, Kind.ABORT])
def test_the_head_of_the_servers_ledger_is_in_every_clients(kept: Kept, kind: Kind) -> None:
    for name in ("clinic", "insurer"):
        kept.enter(name, echo)
    asked(kept, "train", arrays(80), "clinic", "insurer")
    for name in ("clinic", "insurer"):
        kept.verify(name, kind)
        last = read(kept.folder / f"{name}.jsonl")[-1]
        assert last["event"] == ("ended" if kind is Kind.END else "failed")
        assert last["server_ledger"] == read(kept.file)[-1]["sha256"]


@pytest.mark.parametrize("told", [{}, {"server_ledger": 7}, {"server_ledger": "no hash"}])
def test_a_head_that_is_none_is_not_written_down(kept: Kept, told: dict[str, Any]) -> None:
    kept.enter("clinic", echo)
    kept.exchange.end(Kind.END, **told)
    kept.ended["clinic"].end()
    assert read(kept.folder / "clinic.jsonl")[-1]["server_ledger"] is None
    kept.ledger.write("verdict", verdict="COMPLETE")
    with pytest.raises(LedgerError, match="server_ledger is None"):
        verdict([load(kept.file), load(kept.folder / "clinic.jsonl")])


def test_a_client_that_is_started_again_goes_on_in_its_ledger(kept: Kept) -> None:
    def stopped(message: Message) -> Message:
        raise KeyboardInterrupt

    kept.enter("clinic", stopped)
    (gone,) = asked(kept, "train", arrays(80), "clinic")
    assert gone.error.reason == "clinic left: it was stopped"
    kept.ended["clinic"].end()
    kept.enter("clinic", echo)
    asked(kept, "train", arrays(80), "clinic")
    said, ours, theirs = kept.verify("clinic")
    assert said.endswith("1 answers of clinic match one to one.")
    assert [one["event"] for one in ours] == ["missed", "exchanged"]
    assert len(theirs) == 1


def test_a_client_without_a_ledger_is_served_too(kept: Kept) -> None:
    kept.client(kept.enrol("clinic")["clinic"], echo)
    kept.await_event("joined", "clinic")
    (reply,) = asked(kept, "train", arrays(80), "clinic")
    assert not reply.has_error()
    assert [details["client_ledger"] for kind, details in kept.told if kind == "exchanged"] == [""]
