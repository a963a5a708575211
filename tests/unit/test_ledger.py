from __future__ import annotations

import errno
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.contract import ExitCode, FedstackError
from runtime.ledger import GENESIS, Ledger, LedgerError, head, read


def test_events_are_kept_in_order_with_their_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new" / "ledger.jsonl")
    ledger.write("joined", client="clinic")
    ledger.write("round", round=1, seconds=0.5)
    first, second = read(ledger.path)
    assert (first["seq"], first["event"], first["client"], first["previous"]) == (
        0,
        "joined",
        "clinic",
        GENESIS,
    )
    assert (second["seq"], second["event"], second["round"]) == (1, "round", 1)
    assert first["time"] < second["time"]


def test_an_event_is_in_the_file_when_write_returns(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("joined")
    assert json.loads(ledger.path.read_text())["event"] == "joined"


def test_an_existing_ledger_is_continued(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.jsonl").write("first")
    Ledger(tmp_path / "ledger.jsonl").write("second")
    assert [event["event"] for event in read(tmp_path / "ledger.jsonl")] == ["first", "second"]


def test_events_of_many_threads_are_one_chain(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: ledger.write("event", at=at), range(200)))
    assert sorted(event["at"] for event in read(ledger.path)) == list(range(200))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda lines: [lines[0], lines[1].replace("two", "TWO"), *lines[2:]],
        lambda lines: [*lines[:3], lines[3].replace("four", "FOUR")],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [*lines[:2], "no JSON", *lines[2:]],
        lambda lines: [*lines[:2], "[]", *lines[2:]],
    ],
    ids=["changed", "changed last", "removed", "swapped", "put in", "not JSON", "not an object"],
)
def test_a_ledger_that_was_edited_is_found_out(tmp_path: Path, tamper: object) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for name in ("one", "two", "three", "four"):
        ledger.write(name)
    assert callable(tamper)
    ledger.path.write_text("\n".join(tamper(ledger.path.read_text().splitlines())) + "\n")
    with pytest.raises(LedgerError, match=r"ledger\.jsonl: line \d"):
        read(ledger.path)
    with pytest.raises(FedstackError, match=r"The ledger was changed: .*ledger\.jsonl: line \d") as raised:
        Ledger(ledger.path)
    assert raised.value.code is ExitCode.CONFIG


def test_a_line_that_a_crash_cut_off_is_not_continued(tmp_path: Path) -> None:
    """Half an event is no event: what follows it must be readable."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("whole")
    with ledger.path.open("a") as file:
        file.write('{"seq": 1, "time": "2026')
    assert [event["event"] for event in read(ledger.path)] == ["whole"]
    Ledger(ledger.path).write("after the crash")
    assert [event["event"] for event in read(ledger.path)] == ["whole", "after the crash"]


@given(st.integers(0, 2000), st.integers(0, 255))
def test_no_byte_of_a_ledger_can_be_changed(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    for number in range(3):
        ledger.write("round", number=number, reason="\u00e4")
    before = ledger.path.read_bytes()
    after = bytearray(before)
    after[at % len(after)] = byte
    ledger.path.write_bytes(after)
    if after == before:
        assert len(read(ledger.path)) == 3
    elif before[at % len(before)] == ord("\n") and at % len(before) == len(before) - 1:
        assert len(read(ledger.path)) == 2  # the last line is half a line now
    else:
        with pytest.raises((LedgerError, FedstackError)):
            read(ledger.path)


def test_the_head_is_the_hash_of_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    assert head(path) == GENESIS
    ledger = Ledger(path)
    assert head(path) == GENESIS
    assert ledger.write("one") == head(path) == read(path)[-1]["sha256"]
    assert ledger.write("two") == head(path) != read(path)[0]["sha256"]
    path.write_text("no ledger\n")
    assert head(path) == GENESIS


def test_what_is_synced_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("one")
    assert synced == []
    ledger.sync()
    assert synced == [ledger.path.stat().st_ino]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["a folder", "no text"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ledger.jsonl"
    path.mkdir() if content is None else path.write_bytes(content)
    for use in (read, Ledger):
        with pytest.raises(FedstackError, match="cannot be read") as raised:
            use(path)
        assert raised.value.code is ExitCode.CONFIG


@pytest.mark.parametrize("taken", [0, 20])
def test_a_disk_that_takes_half_a_line_leaves_the_ledger_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("run", number=1)
    whole, opened = ledger.path.read_bytes(), Path.open

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(bytes(data)[:taken])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode, **_: Full(path, mode.removesuffix("b")))
        with pytest.raises(FedstackError, match=r"cannot be written \(No space left on device\)") as raised:
            ledger.write("round", number=2)
    assert raised.value.code is ExitCode.ENGINE
    assert str(tmp_path) not in str(raised.value.public)
    assert (Path.open, ledger.path.read_bytes()) == (opened, whole)
    ledger.write("round", number=2)  # somebody made room
    assert [one["event"] for one in read(ledger.path)] == ["run", "round"]
