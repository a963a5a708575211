"""Updates that are added up as they come: in one order, in little memory, and never one that is no update."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as of_flower
from hypothesis import given
from hypothesis import strategies as st

from runtime.link import flower
from runtime.link.grid_base import GridBase
from runtime.server.aggregation import replies
from runtime.server.aggregation.running import BLOCK, Running, RunningMean, RunningSum
from runtime.server.aggregation.validation import Expected, Sorted, check_reply
from runtime.tabular.server import plain_round
from runtime.tabular.strategies import mean
from runtime.tabular.strategies.catalogue import running_of
from runtime.tabular.strategies.private_newton import PrivateNewton

NAMES = [f"clinic-{number}" for number in range(5)]
METRICS = frozenset({"num-examples"})
UPDATES = {
    name: np.random.default_rng(seed).normal(size=7) * 10.0 ** (seed - 2) for seed, name in enumerate(NAMES)
}
ROWS = dict(zip(NAMES, (3, 1, 1000, 7, 20), strict=True))


class Arriving(GridBase):
    """Answers that come in an order of their own; none is kept.

    `watched`, it fails where an array is still there when the next reply is wanted.
    """

    def __init__(
        self,
        order: Iterable[str],
        instead: Mapping[str, npt.NDArray[Any]] | None = None,
        *,
        watched: bool = False,
    ) -> None:
        super().__init__(1)
        self._order, self._updates, self._watched = list(order), {**UPDATES, **(instead or {})}, watched
        self._last: weakref.ref[Array] | None = None

    def get_node_ids(self) -> Iterable[int]:
        return map(flower.number_of, self._order)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return list(self.as_they_come(messages, timeout=timeout))

    def as_they_come(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,  # noqa: ARG002 - the grid's signature
    ) -> Iterator[Message]:
        sent = {message.metadata.dst_node_id: message for message in messages}
        for name in self._order:
            gone = self._last is None or self._last() is None
            assert gone or not self._watched, "a reply that was added is still there"
            yield self._reply(sent[flower.number_of(name)], name)

    def _reply(self, message: Message, name: str) -> Message:
        flower.stamp(message, f"to {name}")
        array, rows = Array(self._updates[name]), MetricRecord({"num-examples": ROWS[name]})
        self._last = weakref.ref(array)
        return Message(RecordDict({"arrays": ArrayRecord({"w": array}), "metrics": rows}), reply_to=message)


def asked(names: Iterable[str] = NAMES) -> list[Message]:
    return [Message(RecordDict(), flower.number_of(name), "train") for name in names]


def check(reply: Message) -> None:
    check_reply(reply, METRICS, Expected(ArrayRecord({"w": Array(np.zeros(7))})))


def exchanged(grid: GridBase, running: Running | None, names: Iterable[str] = NAMES) -> Sorted:
    return plain_round.exchange(grid, asked(names), 1.0, check, running)


def numbers(found: Sorted) -> npt.NDArray[Any]:
    (one,) = found.summed
    array: npt.NDArray[Any] = replies.arrays_of(one.content)["arrays"]["w"].numpy()
    return array


IN_TURN = sorted(NAMES, key=flower.number_of)


@given(order=st.permutations(NAMES), kind=st.sampled_from([RunningMean, RunningSum]))
def test_the_result_is_the_same_to_the_last_bit_whoever_was_faster(
    order: list[str], kind: type[Running]
) -> None:
    found = exchanged(Arriving(order), kind())
    assert numbers(found).tobytes() == numbers(exchanged(Arriving(IN_TURN), kind())).tobytes()
    assert [one.metadata.src_node_id for one in found.accepted] == sorted(map(flower.number_of, NAMES))


def test_what_was_added_is_let_go_of_at_once() -> None:
    gc.disable()
    try:
        found = exchanged(Arriving(IN_TURN, watched=True), RunningMean())
    finally:
        gc.enable()
    assert [replies.arrays_of(one.content) for one in found.accepted] == [{}] * len(NAMES)
    assert [found.sizes[flower.number_of(name)] > 7 * 8 for name in NAMES] == [True] * len(NAMES)


def test_the_mean_is_flowers() -> None:
    whole = exchanged(Arriving(NAMES), None)
    assert whole.summed == []
    theirs, _ = of_flower.FedAvg().aggregate_train(1, whole.accepted)
    assert theirs is not None
    np.testing.assert_allclose(numbers(exchanged(Arriving(NAMES), RunningMean())), theirs["w"].numpy(), 1e-13)


@pytest.mark.parametrize("bad", [np.full(7, np.nan), np.ones(8), np.ones(7, np.float32), np.ones((7, 1))])
@pytest.mark.parametrize("kind", [RunningMean, RunningSum])
def test_a_bad_update_leaves_no_trace_in_what_others_gave_before_it(
    bad: npt.NDArray[Any], kind: type[Running]
) -> None:
    liar, honest = IN_TURN[2], [name for name in IN_TURN if name != IN_TURN[2]]
    found = exchanged(Arriving(IN_TURN, {liar: bad}), kind())
    assert list(found.refused) == [flower.number_of(liar)]
    assert numbers(found).tobytes() == numbers(exchanged(Arriving(honest), kind(), honest)).tobytes()


def test_one_bad_number_at_the_end_of_a_large_update_spoils_nothing() -> None:
    large = np.ones(3 * BLOCK + 1)
    running = RunningMean()
    running.take({"w": large}, 1)
    bad = Message(RecordDict(), flower.number_of("clinic"), "train")
    flower.stamp(bad, "1")
    lie = np.append(large[:-1], np.inf)
    told = RecordDict({"arrays": ArrayRecord({"w": Array(lie)})})
    told["metrics"] = MetricRecord({"num-examples": 1})
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        check_reply(Message(told, reply_to=bad), METRICS, Expected(ArrayRecord({"w": Array(large)})))
    running.take({"w": 3 * large}, 3)
    assert (running.record()["w"].numpy() == 2.5).all()


def test_the_largest_numbers_that_there_are_stay_in_their_range() -> None:
    for dtype, rows in ((np.float64, 10**9), (np.float16, 10**9)):
        running, largest = RunningMean(), np.finfo(dtype).max
        for sign in (1, -1):
            running.take({"w": np.full(3, sign * largest, dtype)}, rows)
        array = running.record()["w"].numpy()
        assert array.dtype == np.dtype(dtype)
        assert array.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("theirs", "ours", "options"),
    [
        (of_flower.FedAvg, mean.Mean, {}),
        (of_flower.FedAvgM, mean.FedAvgM, {"server_momentum": 0.5}),
        (of_flower.FedProx, mean.FedProx, {"proximal_mu": 0.1}),
        (of_flower.FedAdagrad, mean.FedAdagrad, {}),
        (of_flower.FedAdam, mean.FedAdam, {}),
        (of_flower.FedYogi, mean.FedYogi, {}),
    ],
)
def test_a_strategy_makes_of_the_mean_what_it_makes_of_all_updates(
    theirs: Any, ours: Any, options: dict[str, Any]
) -> None:
    models = []
    for strategy in (theirs(**options), ours(**options)):
        model = ArrayRecord({"w": Array(np.zeros(7))})
        for number in (1, 2):
            grid = Arriving(NAMES)
            list(strategy.configure_train(number, model, ConfigRecord({}), grid))
            found = exchanged(grid, RunningMean() if strategy.__class__ is ours else None)
            model, metrics = strategy.aggregate_train(number, found.summed or found.accepted)
            assert metrics is not None
        models.append(model["w"].numpy())
    np.testing.assert_allclose(models[1], models[0], 1e-12)


class Noisy(Arriving):
    """Answers of clients whose curvatures are small next to their noise."""

    def _reply(self, message: Message, name: str) -> Message:
        flower.stamp(message, f"to {name}")
        arrays = {"gradient": Array(np.ones(2)), "hessian": Array(np.eye(2) / 100)}
        rows = MetricRecord({"num-examples": ROWS[name]})
        return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": rows}), reply_to=message)


def test_a_step_among_noise_goes_by_all_clients_of_whom_there_is_some() -> None:
    models = []
    for told_all in (False, True):
        strategy, grid = PrivateNewton(2, 1.0, noise=100.0), Noisy(NAMES)
        model = ArrayRecord({"coef": Array(np.zeros((1, 1))), "intercept": Array(np.zeros(1))})
        list(strategy.configure_train(1, model, ConfigRecord({}), grid))
        running = None if told_all else running_of(strategy)
        found = plain_round.exchange(grid, asked(), 1.0, lambda _: None, running)
        after, _ = strategy.aggregate_train(1, found.summed or found.accepted)
        assert after is not None
        models.append(np.append(after["coef"].numpy(), after["intercept"].numpy()))
    least = 100.0 * np.sqrt(len(NAMES) * 2)  # that noise of all of them reaches alone
    np.testing.assert_allclose(models[1], -len(NAMES) / least)
    np.testing.assert_array_equal(models[0], models[1])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3)),
        np.arange(6, dtype=">i8"),
        np.array(3.0),
        np.zeros((0, 4)),
        np.array(["a", "bc"]),
        np.zeros(2, dtype=[("x", "f8"), ("ü", "i4")]),
    ],
)
def test_an_array_is_read_as_numpy_reads_it_and_not_copied(array: npt.NDArray[Any]) -> None:
    found = replies.view(Array(array))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    assert not array.size or array.dtype.names or not found.flags.owndata


def test_objects_are_not_read() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        replies.view(Array("object", (1,), "numpy.ndarray", buffer.getvalue()))
