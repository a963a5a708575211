from __future__ import annotations

import hashlib
import json
import struct
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.link import wire
from runtime.link.wire import Assembler, Kind, WireError

FRAME_LIMIT = dict(wire.CHANNEL_OPTIONS)["grpc.max_receive_message_length"]


def received(frames: list[bytes]) -> Assembler:
    """Assemble frames as either end does; every frame but the last must leave the message open."""
    assembler, data = wire.open_message(frames[0])
    whole = assembler.feed(data)
    for frame in frames[1:]:
        assert not whole
        assert wire.kind_of(frame) is Kind.CHUNK
        whole = assembler.feed(memoryview(frame)[1:])
    assert whole
    return assembler


@given(st.text(), st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.integers(1, 50))
def test_a_message_arrives_as_it_was_sent_however_it_is_cut(
    message_id: str, parts: list[bytes], chunk: int
) -> None:
    with mock.patch.object(wire, "CHUNK", chunk):
        frames = list(wire.message_frames(message_id, parts, ["message-1", "message-2"]))
    assembled = received(frames)
    assert assembled.received == ["message-1", "message-2"]
    assert assembled.message_id == message_id
    assert assembled.parts == parts
    assert assembled.total == sum(map(len, parts))
    assert assembled.digests == [hashlib.sha256(part).digest() for part in parts]


@given(
    st.text(),
    st.lists(st.binary(max_size=40), min_size=1, max_size=8),
    st.integers(1, 300),
    st.sampled_from(["", "a" * 64]),
)
def test_the_size_in_the_ledgers_is_that_of_the_frames(
    message_id: str, parts: list[bytes], chunk: int, ledger: str
) -> None:
    with mock.patch.object(wire, "CHUNK", chunk):
        frames = list(wire.message_frames(message_id, parts, ledger=ledger))
        size = wire.framed_size(message_id, [len(part) for part in parts], ledger)
    assert size == sum(map(len, frames))
    assert received(frames).ledger == ledger


@pytest.mark.parametrize("size", [0, 1, wire.CHUNK - 1, wire.CHUNK, wire.CHUNK + 1, 3 * wire.CHUNK])
def test_no_frame_is_larger_than_the_channel_takes(size: int) -> None:
    frames = list(wire.message_frames("message-1", [b"envelope", bytes(size)]))
    assert max(map(len, frames)) <= FRAME_LIMIT
    assert received(frames).parts == [b"envelope", bytes(size)]


def test_a_model_of_very_many_arrays_fits_into_frames_too() -> None:
    parts = [bytes(range(64))] * 60_000
    frames = list(wire.message_frames("message-1", parts))
    assert max(map(len, frames)) <= FRAME_LIMIT
    assert received(frames).parts == parts


def test_a_small_message_is_one_frame() -> None:
    assert len(list(wire.message_frames("message-1", [b"envelope", b"", b"array"]))) == 1


def test_control_frames_carry_their_body() -> None:
    frame = wire.control(Kind.REFUSED, reason="flwr: \u00e4")
    assert wire.kind_of(frame) is Kind.REFUSED
    assert wire.body_of(frame) == {"reason": "flwr: \u00e4"}


@pytest.mark.parametrize("frame", [b"", b"\x00", b"\x63", b"\xff{}"])
def test_an_unknown_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(WireError, match="unknown frame"):
        wire.kind_of(frame)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_a_control_frame_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(WireError, match=r"not (a )?JSON"):
        wire.body_of(bytes([Kind.HELLO]) + body)


def head(text: str) -> bytes:
    return bytes([Kind.MESSAGE]) + struct.pack(">I", len(text)) + text.encode()


def announced(**changed: object) -> bytes:
    said: dict[str, object] = {"id": "m", "sizes": [0], "received": [], "ledger": ""}
    return head(json.dumps({name: value for name, value in {**said, **changed}.items() if value is not ...}))


def test_an_announcement_that_is_right() -> None:
    assembler, rest = wire.open_message(announced(sizes=[2, 0], received=["message-1"]) + b"ab")
    assert (assembler.message_id, assembler.sizes, assembler.received) == ("m", [2, 0], ["message-1"])
    assert bytes(rest) == b"ab"


@pytest.mark.parametrize(
    "frame",
    [
        b"\x04",
        b"\x04\x00\x00",
        bytes([Kind.MESSAGE]) + struct.pack(">I", 99) + b'{"id": "m"',
        head("[]"),
        head('"text"'),
        head("[" * 100_000),
        *(announced(**{name: ...}) for name in ("id", "sizes", "received", "ledger")),
        announced(id=1),
        *(announced(sizes=sizes) for sizes in ([], 7, [-1], [1.0], [True], ["1"], [None])),
        announced(sizes=[0] * (wire.MAX_PARTS + 1)),
        *(announced(received=received) for received in (None, "message-1", [1], [None], {"a": 1})),
        *(announced(ledger=ledger) for ledger in ("a", "A" * 64, "a" * 64 + "\n", 1, ["a" * 64])),
    ],
)
def test_a_malformed_head_is_refused(frame: bytes) -> None:
    with pytest.raises(WireError, match="malformed"):
        wire.open_message(frame)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_break_the_protocol(noise: bytes) -> None:
    for read in (wire.kind_of, wire.body_of, wire.open_message):
        try:
            read(noise)
        except WireError:
            continue


def test_more_bytes_than_announced_are_refused() -> None:
    assembler = Assembler("m", [3, 0])
    assert not assembler.feed(memoryview(b"ab"))
    with pytest.raises(WireError, match="longer than announced"):
        assembler.feed(memoryview(b"cd"))
