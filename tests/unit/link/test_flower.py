from __future__ import annotations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.proto.message_pb2 import Message as ProtoMessage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime.link import flower, wire

flower.adopt_identity(1)

NAMES = st.text(max_size=12)
ARRAYS = hnp.arrays(
    dtype=st.one_of(hnp.floating_dtypes(), hnp.integer_dtypes(), hnp.boolean_dtypes()),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)


@st.composite
def contents(draw: st.DrawFn) -> RecordDict:
    """Records of arrays and of metrics, under any names, in any order."""
    content = RecordDict()
    for name in draw(st.lists(NAMES, unique=True, max_size=5)):
        if draw(st.booleans()):
            arrays = draw(st.dictionaries(NAMES, ARRAYS, max_size=5))
            content[name] = ArrayRecord({key: Array(array) for key, array in arrays.items()})
        else:
            content[name] = MetricRecord(dict(draw(st.dictionaries(NAMES, NUMBERS, max_size=3))))
    return content


def request(content: RecordDict | None = None) -> Message:
    message = Message(content or RecordDict(), flower.number_of("clinic"), "train")
    flower.stamp(message, "message-1")
    return message


def received(message: Message) -> Message:
    return flower.from_parts(flower.to_parts(message))


@given(contents())
def test_a_message_comes_out_as_it_went_in(content: RecordDict) -> None:
    sent = request(content)
    got = received(sent)
    assert got.metadata.message_id == "message-1"
    assert got.metadata.message_type == "train"
    assert got.metadata.dst_node_id == flower.number_of("clinic")
    assert list(got.content) == list(content)
    for key, record in content.items():
        assert got.content[key] == record
        assert list(got.content[key]) == list(record)


def test_arrays_keep_their_order_and_their_record() -> None:
    """Parts travel beside the envelope: the second of two equal shapes must not become the first."""
    names = [f"layer-{at}" for at in (3, 1, 2, 0)]
    content = RecordDict(
        {
            "z": ArrayRecord({name: Array(np.full(3, at)) for at, name in enumerate(names)}),
            "config": ConfigRecord({"rate": 0.5}),
            "a": ArrayRecord({name: Array(np.full(3, -at)) for at, name in enumerate(names)}),
        }
    )
    got = received(request(content)).content
    for key, sign in (("z", 1), ("a", -1)):
        arrays = got.array_records[key]
        assert list(arrays) == names
        assert [int(array.numpy()[0]) * sign for array in arrays.values()] == [0, 1, 2, 3]


def test_the_arrays_bytes_are_not_copied() -> None:
    parts = flower.to_parts(request(RecordDict({"arrays": ArrayRecord({"w": Array(np.arange(1000.0))})})))
    assert len(parts[0]) + len(parts[1]) < 500
    array = flower.from_parts(parts).content.array_records["arrays"]["w"]
    assert array.data is parts[2]


def test_a_message_is_left_as_it_was() -> None:
    sent = request(RecordDict({"arrays": ArrayRecord({"w": Array(np.arange(3.0))})}))
    flower.to_parts(sent)
    np.testing.assert_array_equal(sent.content.array_records["arrays"]["w"].numpy(), np.arange(3.0))


def test_a_reply_answers_its_message_and_comes_from_its_client() -> None:
    got = received(Message(RecordDict(), reply_to=received(request())))
    flower.check_reply(got, "message-1", "clinic")
    for message_id, client in (("message-2", "clinic"), ("message-1", "other")):
        with pytest.raises(ValueError, match="a reply of node"):
            flower.check_reply(got, message_id, client)


def test_an_error_reply_travels() -> None:
    got = received(flower.error_reply(request(), flower.CLIENT_APP_FAILED, "ValueError"))
    assert got.has_error()
    assert not got.has_content()
    assert (got.error.code, got.error.reason) == (flower.CLIENT_APP_FAILED, "ValueError")
    flower.check_reply(got, "message-1", "clinic")


def test_a_message_with_neither_content_nor_error_is_refused() -> None:
    envelope, body = flower.to_parts(request())
    hollow = ProtoMessage.FromString(body)
    hollow.ClearField("content")
    with pytest.raises(ValueError, match="not a Flower message"):
        flower.from_parts([envelope, hollow.SerializeToString()])


def test_nothing_crosses_beside_what_is_digested() -> None:
    """The digest in the ledgers leaves the metadata out, so that they may hold nothing else."""
    envelope, body = flower.to_parts(request(RecordDict({"config": ConfigRecord({"rate": 0.5})})))
    assert flower.from_parts([envelope, body]).content.config_records["config"]["rate"] == 0.5
    for parts in ([envelope + body, body], [envelope, envelope + body], [body, envelope], [b"", body]):
        with pytest.raises(ValueError, match="metadata and content are not apart"):
            flower.from_parts(parts)


@given(st.lists(st.binary(max_size=120), min_size=1, max_size=3))
def test_bytes_that_are_no_message_are_refused(parts: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"not a Flower message|array parts for"):
        flower.from_parts(parts)


@given(st.integers(0, 1), st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_message_is_refused_or_still_a_message(which: int, at: int, value: int) -> None:
    *hollow, data = flower.to_parts(request(RecordDict({"a": ArrayRecord({"w": Array(np.arange(3.0))})})))
    damaged = bytearray(hollow[which])
    damaged[at % len(damaged)] = value
    hollow[which] = bytes(damaged)
    try:
        got = flower.from_parts([*hollow, data])
    except ValueError:
        return
    assert got.has_content() or got.has_error()


@pytest.mark.parametrize("surplus", [-1, 1])
def test_parts_that_do_not_match_the_arrays_are_refused(surplus: int) -> None:
    parts = flower.to_parts(request(RecordDict({"arrays": ArrayRecord({"w": Array(np.arange(3.0))})})))
    parts = parts[:-1] if surplus < 0 else [*parts, b"more"]
    with pytest.raises(ValueError, match=f"{1 + surplus} array parts for 1 arrays"):
        flower.from_parts(parts)


def test_the_size_is_what_travels() -> None:
    message = request(RecordDict({"arrays": ArrayRecord({"w": Array(np.arange(1000.0))})}))
    assert flower.size_of(message) == sum(map(len, flower.to_parts(message))) > 8000


def digest(message: Message) -> str:
    return wire.digest_of(message.metadata.message_type, flower.body_of(message).digest)


@given(contents())
def test_both_ends_have_the_same_digest_of_a_message(content: RecordDict) -> None:
    sent = request(content)
    parts = flower.to_parts(sent)
    assembler = wire.Assembler("message-1", [len(part) for part in parts])
    assembler.feed(memoryview(b"".join(parts)))
    joint = wire.joint_digest(assembler.digests[1:])
    assert wire.digest_of("train", joint) == digest(sent) == digest(flower.from_parts(assembler.parts))


def test_the_digest_is_of_the_kind_and_of_every_record_and_of_nothing_else() -> None:
    def content(value: float = 1.0, rate: float = 0.5, loss: float = 0.1) -> RecordDict:
        arrays = ArrayRecord({"w": Array(np.array([value]))})
        config, metrics = ConfigRecord({"rate": rate}), MetricRecord({"loss": loss})
        return RecordDict({"a": arrays, "config": config, "metrics": metrics})

    other_kind, other_node = request(content()), request(content())
    other_kind.metadata.message_type = "evaluate"
    other_node.metadata.dst_node_id = flower.number_of("insurer")
    flower.stamp(other_node, "message-2")
    assert digest(request(content())) == digest(other_node)
    others = [content(value=2.0), content(rate=0.4), content(loss=0.2), RecordDict()]
    digests = {digest(request(content())), digest(other_kind), *(digest(request(one)) for one in others)}
    assert len(digests) == 6


def test_the_digest_of_an_error_is_of_its_code_and_reason() -> None:
    errors = [(1, "ValueError"), (2, "ValueError"), (1, "KeyError")]
    assert len({digest(flower.error_reply(request(), *error)) for error in errors}) == 3


def test_a_name_has_one_number_which_flower_gives_to_nobody_else() -> None:
    numbers = {flower.number_of(f"client-{at}") for at in range(1000)}
    assert len(numbers) == 1000
    assert min(numbers) > 1
    assert max(numbers) < 2**63
    assert flower.number_of("c0") == 654759965719699911
