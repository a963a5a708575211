from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.ledger import GENESIS, Ledger, read


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
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [*lines[:2], "no JSON", *lines[2:]],
        lambda lines: [*lines[:2], "[]", *lines[2:]],
    ],
    ids=["changed", "removed", "swapped", "put in", "not JSON", "not an object"],
)
def test_a_ledger_that_was_edited_is_found_out(tmp_path: Path, tamper: object) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for name in ("one", "two", "three", "four"):
        ledger.write(name)
    assert callable(tamper)
    ledger.path.write_text("\n".join(tamper(ledger.path.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match=r"ledger\.jsonl: line \d"):
        read(ledger.path)


def test_a_line_that_a_crash_cut_off_is_not_continued(tmp_path: Path) -> None:
    """Half an event is no event: what follows it must be readable."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("whole")
    with ledger.path.open("a") as file:
        file.write('{"seq": 1, "time": "2026')
    Ledger(ledger.path).write("after the crash")
    assert [event["event"] for event in read(ledger.path)] == ["whole", "after the crash"]
