from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from runtime.link import flower
from runtime.server.aggregation.validation import (
    Expected,
    decoded,
    sort_replies,
)
from runtime.tabular.columns.columns import Task
from runtime.tabular.server.privacy import PREPARE_METRICS, TRAIN_METRICS
from runtime.tabular.task_scores import SCORES as OF_TASKS
from runtime.updates import UpdateRefusedError

SCORES = tuple(OF_TASKS[Task.BINARY])
EVALUATE_METRICS = frozenset({"num-examples", *SCORES})

flower.adopt_identity(1)

LIKE = ArrayRecord({"coef": Array(np.zeros((1, 3))), "intercept": Array(np.zeros(1))})
MODEL = Expected(LIKE)
TRAINED = {"num-examples": 7, "train-seconds": 0.5, "train-loss": 0.4}


SCORED = frozenset(SCORES)


def reply(name: str = "clinic", metrics: dict[str, Any] | None = None, **arrays: Array) -> Message:
    content = RecordDict({"metrics": MetricRecord(dict(TRAINED if metrics is None else metrics))})
    content["arrays"] = ArrayRecord({"coef": Array(np.ones((1, 3))), "intercept": Array(np.ones(1))} | arrays)
    return replied(name, content)


def replied(name: str, content: RecordDict | Error) -> Message:
    message = Message(RecordDict(), flower.number_of(name), "train")
    flower.stamp(message, f"to {name}")
    return Message(content, reply_to=message)


def refusal(one: Message) -> str:
    judged = sort_replies([one], TRAIN_METRICS, MODEL)
    assert judged.accepted == []
    return judged.refused[one.metadata.src_node_id]


def test_replies_are_sorted_by_node_whoever_was_faster() -> None:
    names = ["clinic", "insurer", "pharmacy", "laboratory"]
    replies = [reply(name) for name in names]
    for order in (replies, replies[::-1]):
        nodes = [one.metadata.src_node_id for one in sort_replies(order, TRAIN_METRICS, MODEL).accepted]
        assert nodes == sorted(map(flower.number_of, names))


def test_a_bad_reply_does_not_spoil_a_good_one() -> None:
    judged = sort_replies([reply("clinic", metrics={}), reply("insurer")], TRAIN_METRICS, MODEL)
    assert [one.metadata.src_node_id for one in judged.accepted] == [flower.number_of("insurer")]
    assert list(judged.refused) == [flower.number_of("clinic")]


def test_an_error_reply_is_refused_with_its_reason() -> None:
    assert refusal(replied("clinic", Error(3, "ValueError"))) == "ValueError"


def test_an_update_in_more_or_other_records_is_refused() -> None:
    metrics = MetricRecord(dict(TRAINED))
    two = RecordDict({"metrics": metrics, "arrays": LIKE, "more": LIKE})
    assert refusal(replied("clinic", two)) == "the array records are ['arrays', 'more'], expected ['arrays']"
    none = RecordDict({"metrics": metrics})
    assert refusal(replied("clinic", none)) == "the array records are [], expected ['arrays']"
    named = RecordDict({"other": metrics, "arrays": LIKE})
    assert refusal(replied("clinic", named)) == "the metrics are ['other'], expected ['metrics']"


@pytest.mark.parametrize("name", ["num-examples", "train-seconds"])
def test_a_missing_metric_is_refused(name: str) -> None:
    rest = {key: value for key, value in TRAINED.items() if key != name}
    assert refusal(reply(metrics=rest)).startswith("the metrics are [")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), [0.5]])
def test_a_metric_that_is_no_finite_number_is_refused(value: Any) -> None:
    assert "the metric 'train-seconds' is" in refusal(reply(metrics=TRAINED | {"train-seconds": value}))


@pytest.mark.parametrize("name", sorted(EVALUATE_METRICS - {"num-examples"}))
def test_a_score_may_be_undefined_where_a_silo_has_too_few_rows_of_a_label(name: str) -> None:
    scores: dict[str, Any] = dict.fromkeys(EVALUATE_METRICS, 0.5) | {"num-examples": 3}
    for value, refused in ((float("nan"), 0), (float("inf"), 1), (-float("inf"), 1)):
        content = RecordDict({"metrics": MetricRecord({**scores, name: value})})
        assert (
            len(sort_replies([replied("clinic", content)], EVALUATE_METRICS, undefined=SCORED).refused)
            == refused
        )
    content = RecordDict({"metrics": MetricRecord({**scores, "num-examples": float("nan")})})
    assert len(sort_replies([replied("clinic", content)], EVALUATE_METRICS, undefined=SCORED).refused) == 1


def test_a_reply_that_carries_no_update_needs_no_arrays() -> None:
    content = RecordDict({"metrics": MetricRecord({"num-examples": 5})})
    assert len(sort_replies([replied("clinic", content)], PREPARE_METRICS).accepted) == 1


def test_what_is_longer_than_the_model_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Array, "numpy", lambda _: pytest.fail("decoded"))
    assert "in 928 bytes, expected float64 of shape (1, 3) in 152" in refusal(
        reply(coef=Array("float64", (1, 100), "numpy.ndarray", bytes(928)))
    )


def test_an_unknown_encoding_is_refused() -> None:
    size = len(LIKE["coef"].data)
    assert "'coef' cannot be decoded" in refusal(reply(coef=Array("float64", (1, 3), "torch", bytes(size))))


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_do_more_than_get_refused(noise: bytes, led: bool) -> None:
    data = b"\x93NUMPY\x01\x00" + noise if led else noise
    try:
        arrays = decoded({"w": Array("float64", (3,), "numpy.ndarray", data)})
    except UpdateRefusedError:
        return
    assert isinstance(arrays["w"], np.ndarray)


def test_a_reason_is_short_and_printable() -> None:
    assert refusal(replied("clinic", Error(3, "a\x1b[31m\nb\x00"))) == r"a\x1b[31m\nb\x00"
    assert len(refusal(replied("clinic", Error(3, "\x07" * 9_999)))) == 500


def test_of_a_traceback_only_its_end_is_the_reason() -> None:
    from runtime.errors import gist

    whole = "<class 'E'>:<'ray::run()\n  File \"x\", line 1\n    f()\nE: refused by name\n'>"
    assert gist(whole) == "E: refused by name"
    assert gist("one line") == "one line"
    assert gist("two\nlines") == "two\nlines"
