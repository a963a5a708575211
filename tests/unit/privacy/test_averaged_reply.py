"""A sum of weighted replies is the mean reply, as Flower's strategies form it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg
from hypothesis import given
from hypothesis import strategies as st

from runtime.link import flower
from runtime.privacy import averaged_reply
from runtime.privacy.averaged_reply import NotAveragedError, pack, unpack

flower.adopt_identity(1)
Numbers = st.floats(-1e6, 1e6, allow_nan=False)


def reply(weight: int, w: list[float], loss: float, *, dtype: str = "float64") -> RecordDict:
    arrays = ArrayRecord({"w": Array(np.array(w, dtype=dtype)), "b": Array(np.array(loss))})
    metrics = MetricRecord({"loss": loss, "num-examples": weight, "many": [loss, 2 * loss]})
    return RecordDict({"arrays": arrays, "metrics": metrics})


@given(
    st.lists(
        st.tuples(st.integers(1, 10_000), st.lists(Numbers, min_size=3, max_size=3), Numbers),
        min_size=1,
        max_size=6,
    )
)
def test_it_is_what_federated_averaging_gives(parts: list[tuple[int, list[float], float]]) -> None:
    contents = [reply(*part) for part in parts]
    packed = [pack(content) for content in contents]
    layout = packed[0][1]
    summed: Any = unpack(layout, np.sum([vector for vector, _ in packed], axis=0))
    messages = []
    for number, content in enumerate(contents):
        request = Message(RecordDict(), number + 2, "train")
        flower.stamp(request, str(number))
        messages.append(Message(content, reply_to=request))
    arrays, metrics = FedAvg().aggregate_train(1, messages)
    assert arrays is not None
    assert metrics is not None
    np.testing.assert_allclose(summed["arrays"]["w"].numpy(), arrays["w"].numpy(), rtol=1e-9, atol=1e-6)
    assert summed["metrics"]["loss"] == pytest.approx(metrics["loss"], rel=1e-9, abs=1e-6)
    assert summed["metrics"]["many"] == pytest.approx(metrics["many"], rel=1e-9, abs=1e-6)
    assert summed["metrics"]["num-examples"] == sum(weight for weight, _, _ in parts)
    assert list(summed["metrics"]) == ["loss", "num-examples", "many"]


def test_shapes_and_dtypes_survive() -> None:
    arrays = ArrayRecord({"a": Array(np.ones((2, 3), np.float32)), "n": Array(np.array(7, np.int64))})
    content = RecordDict({"x": arrays, "y": MetricRecord({"num-examples": 5})})
    vector, layout = pack(content)
    assert len(vector) == averaged_reply.length_of(layout)
    back: Any = unpack(averaged_reply.read(averaged_reply.write(layout)), 3 * vector)
    assert (back["x"]["a"].numpy().dtype, back["x"]["a"].shape) == (np.dtype(np.float32), (2, 3))
    assert (back["x"]["n"].numpy().dtype, int(back["x"]["n"].numpy())) == (np.dtype(np.int64), 7)
    assert back["y"]["num-examples"] == 15


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (RecordDict(), "it needs one metric 'num-examples'"),
        (RecordDict({"m": MetricRecord({"num-examples": 1.5})}), "a whole number"),
        (RecordDict({"m": MetricRecord({"num-examples": -1})}), "a whole number"),
        (
            RecordDict({"m": MetricRecord({"num-examples": 1}), "o": MetricRecord({"num-examples": 1})}),
            "it needs one metric",
        ),
        (RecordDict({"m": MetricRecord({"num-examples": 1}), "c": ConfigRecord({"a": 1})}), "have no mean"),
        (
            RecordDict(
                {"m": MetricRecord({"num-examples": 1}), "a": ArrayRecord({"w": Array(np.array([True]))})}
            ),
            "'w' is bool, which has no mean",
        ),
        (
            RecordDict(
                {"m": MetricRecord({"num-examples": 1}), "a": ArrayRecord({"w": Array(np.array([np.inf]))})}
            ),
            "not finite",
        ),
    ],
)
def test_what_has_no_mean_is_refused(content: RecordDict, said: str) -> None:
    with pytest.raises(NotAveragedError, match=said):
        pack(content)


def test_a_sum_without_weight_is_no_mean() -> None:
    vector, layout = pack(reply(0, [1.0, 2.0, 3.0], 1.0))
    with pytest.raises(NotAveragedError, match="add up to 0"):
        unpack(layout, vector)
