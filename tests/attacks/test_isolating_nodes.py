"""A server that grows trees of its own choice, so that a node holds one row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacker import (
    PLAIN,
    Accomplices,
    Refused,
    Victim,
    opened,
    public_scaler,
    rows_of,
    settings,
    silos,
    standardised,
)
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from runtime.client.secure_aggregation import Membership
from runtime.contract import FedstackError
from runtime.messages import ARRAYS, CONFIG, MessageType, Secure
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.tabular.strategies.histogram import Histogram
from runtime.tabular.trees import ensemble
from runtime.tabular.trees.histograms import UNIT, WEIGHT_OF_ROW, Bins, Question, residuals
from runtime.updates import UpdateRefusedError

SCALER, ROWS, FEATURE = public_scaler(), 100, 3
NAMES = ("north", "south", "west")
ENOUGH = 12 * WEIGHT_OF_ROW


def federation(folder: Path, **policy: Any) -> tuple[Accomplices, np.ndarray, np.ndarray]:
    """Three members, and all their rows and labels as the attacker would like to have them."""
    victims = silos(folder, dict.fromkeys(NAMES, ROWS), **policy)
    z = np.concatenate([standardised(victim.rows, SCALER)[:, :-1] for victim in victims.values()])
    return Accomplices(victims.values()), z, np.concatenate([victim.rows.y for victim in victims.values()])


def beyond(z: np.ndarray, count: int) -> float:
    """A threshold beyond which so many of all rows are."""
    column = np.sort(z[:, FEATURE])
    return float((column[-count] + column[-count - 1]) / 2)


def question(edge: float, left: int, right: int) -> tuple[Bins, Question]:
    """Split a tree's root at a threshold, and claim what its children weigh."""
    edges = tuple(np.array([edge]) if f == FEATURE else np.zeros(0) for f in range(49))
    split = np.full((1, ensemble.SPLITS), ensemble.NO_SPLIT)
    split[0, 0] = FEATURE
    weight = np.zeros((1, ensemble.NODES), dtype=np.int64)
    weight[0, 1:3] = left, right
    return Bins(edges), Question(1, np.array([[FEATURE]]), split, np.zeros_like(split), weight)


def content(asked: tuple[Bins, Question], rows: int = 3 * ROWS) -> RecordDict:
    bins, node = asked
    config = {**settings(SCALER), "model": "trees", "rows": rows, **bins.to_config(), **node.to_config()}
    trees = ArrayRecord({name: Array(array) for name, array in ensemble.empty(0.0).items()})
    return RecordDict({ARRAYS: trees, CONFIG: ConfigRecord(config)})


def summed(aggregation: SecureAggregation, asked: RecordDict, size: int) -> dict[str, np.ndarray]:
    like = ArrayRecord({name: Array(np.zeros(size)) for name in ("gradients", "weights")})
    sent = [Message(asked, node, MessageType.HISTOGRAMS.value) for node in aggregation.members]
    return aggregation.sum(sent, like, frozenset({"train-seconds"})).vector.arrays


def with_key(grid: Accomplices) -> SecureAggregation:
    aggregation = opened(grid)
    aggregation.make_group()
    return aggregation


def weights_of(z: np.ndarray, y: np.ndarray, edge: float) -> tuple[int, int]:
    _, weight = residuals(np.zeros(len(y)), y)
    left = z[:, FEATURE] <= edge
    return int(weight[left].sum()), int(weight[~left].sum())


def test_a_node_of_enough_rows_is_answered_for_and_its_sums_are_exact(tmp_path: Path) -> None:
    grid, z, y = federation(tmp_path)
    edge = beyond(z, 40)
    told = summed(with_key(grid), content(question(edge, *weights_of(z, y, edge))), 1)
    gradient, weight = residuals(np.zeros(len(y)), y)
    left = z[:, FEATURE] <= edge
    assert told["gradients"][0] == gradient[left].sum() * UNIT
    assert told["weights"][0] == weight[left].sum() * UNIT


@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_node_of_few_rows_is_refused(tmp_path: Path, count: int) -> None:
    """The asked for node has nearly all rows: what it lacks of its parent is the few."""
    grid, z, y = federation(tmp_path)
    edge = beyond(z, count)
    with pytest.raises(FedstackError, match="a group of fewer than 11 rows"):
        summed(with_key(grid), content(question(edge, *weights_of(z, y, edge))), 1)


def lied_about(grid: Accomplices, z: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Ask for a node that one row is beyond, and say that many are."""
    edge = beyond(z, 1)
    left, _ = weights_of(z, y, edge)
    return summed(with_key(grid), content(question(edge, left, ENOUGH)), 1)


def test_a_server_that_says_more_of_a_node_than_is_true_can_read_nothing(tmp_path: Path) -> None:
    grid, z, y = federation(tmp_path)
    told = lied_about(grid, z, y)
    with pytest.raises(UpdateRefusedError, match="of 300 rows are from"):
        Histogram(3, 1.0, 0.4, 11, 16).check(told, 3 * ROWS)
    gradient, _ = residuals(np.zeros(len(y)), y)
    assert abs(told["gradients"][0]) > 1e6 > abs(gradient.sum() * UNIT)


def test_without_the_guard_that_lie_would_tell_the_row_s_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Membership, "_guarded", lambda _self, _guards, _purpose, shape: np.zeros(shape, dtype=np.uint64)
    )
    grid, z, y = federation(tmp_path)
    told = lied_about(grid, z, y)
    gradient, _ = residuals(np.zeros(len(y)), y)
    row = gradient.sum() * UNIT - told["gradients"][0]
    assert row == 0.5 - y[z[:, FEATURE].argmax()]


@pytest.mark.parametrize("rows", [3 * ROWS + 1, 10**6])
def test_a_server_that_says_more_rows_than_there_are_can_read_nothing(tmp_path: Path, rows: int) -> None:
    """More rows would let more numbers leave."""
    grid, z, y = federation(tmp_path)
    edge = beyond(z, 40)
    told = summed(with_key(grid), content(question(edge, *weights_of(z, y, edge)), rows), 1)
    assert (np.abs([told["gradients"][0], told["weights"][0]]) > 1e6).all()


def test_no_more_numbers_leave_than_all_members_rows_have_cells(tmp_path: Path) -> None:
    grid, z, y = federation(tmp_path, **{"privacy-max-numbers-per-cell": 0.0002})
    aggregation, edge = with_key(grid), beyond(z, 40)
    summed(aggregation, content(question(edge, *weights_of(z, y, edge))), 1)
    with pytest.raises(FedstackError, match="the rows could be solved for"):
        summed(aggregation, content(question(edge, ENOUGH, ENOUGH)), 1)


def test_a_guarded_sum_needs_the_members_key(tmp_path: Path) -> None:
    grid, z, y = federation(tmp_path)
    edge = beyond(z, 40)
    with pytest.raises(FedstackError, match="before its members had a key in common"):
        summed(opened(grid), content(question(edge, *weights_of(z, y, edge))), 1)


def test_the_server_cannot_make_that_key(tmp_path: Path) -> None:
    grid, _, _ = federation(tmp_path)
    opened(grid)
    victim = next(v for v in grid.victims.values() if v.name == "west")
    forged: dict[str, Any] = {Secure.RUN.value: "run-attack", Secure.GROUP.value: [bytes(60)] * 3}
    with pytest.raises(Refused, match="is not one that 'north' made for this client"):
        victim.ask(MessageType.SECURE_GROUP, secure=ConfigRecord(forged))


@pytest.mark.parametrize("count", [1, 10])
def test_a_client_that_answers_alone_counts_its_own_rows(tmp_path: Path, count: int) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), PLAIN)
    edge = beyond(standardised(victim.rows, SCALER)[:, :-1], count)
    asked = content(question(edge, ENOUGH, ENOUGH))
    with pytest.raises(Refused, match="a group of fewer than 11 rows of this client"):
        victim.ask(MessageType.HISTOGRAMS, arrays=asked[ARRAYS], config=asked[CONFIG])


def test_thresholds_of_a_run_do_not_change(tmp_path: Path) -> None:
    grid, z, y = federation(tmp_path)
    aggregation = with_key(grid)
    for count, refused in ((40, False), (41, True)):
        asked = content(question(beyond(z, count), *weights_of(z, y, beyond(z, count))))
        if not refused:
            summed(aggregation, asked, 1)
            continue
        with pytest.raises(FedstackError, match="'bin-edges' is another one than the run began with"):
            summed(aggregation, asked, 1)


def test_counts_for_bins_are_told_three_times_only(tmp_path: Path) -> None:
    """Asked again and again, counts up to ever other points would find every value."""
    grid, _, _ = federation(tmp_path)
    aggregation = with_key(grid)

    def count(point: float) -> None:
        more = {"bin-grid": [point], "bin-grid-counts": [int(f == FEATURE) for f in range(49)]}
        config = settings(SCALER, model="trees", rows=3 * ROWS, **more)
        trees = ArrayRecord({name: Array(array) for name, array in ensemble.empty(0.0).items()})
        asked = RecordDict({ARRAYS: trees, CONFIG: config})
        like = ArrayRecord({"counts": Array(np.zeros(1)), "positives": Array(np.zeros(1))})
        sent = [Message(asked, node, MessageType.BINS.value) for node in aggregation.members]
        aggregation.sum(sent, like, frozenset({"train-seconds"}))

    for point in (0.1, 0.2, 0.3):
        count(point)
    with pytest.raises(FedstackError, match=r"'train\.bins' was answered 3 times"):
        count(0.4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tree-level": 3}, "trees have levels 0 to 2"),
        ({"tree-bin": [7] * 7}, "a split is at none of the run's thresholds"),
        ({"tree-split": [-1, FEATURE, -1, -1, -1, -1, -1]}, "below a node that is not split"),
        ({"tree-weight": [-1] * 15}, "a node's weight is out of range"),
        ({"tree-features": [50]}, "not increasing numbers of features"),
        ({"tree-count": 100}, "1 to 16 trees"),
        ({"bin-edges": [float("nan")]}, "do not go with 49 features"),
        ({"tree-split": "all"}, "cannot be"),
    ],
)
def test_a_question_that_is_none_is_refused(tmp_path: Path, change: dict[str, object], why: str) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), PLAIN)
    asked = content(question(0.0, ENOUGH, ENOUGH))
    config = ConfigRecord({**asked[CONFIG], **change})  # type: ignore[dict-item]
    with pytest.raises(Refused, match=why):
        victim.ask(MessageType.HISTOGRAMS, arrays=asked[ARRAYS], config=config)


def test_a_model_at_which_one_row_outweighs_all_is_refused(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), PLAIN)
    z = standardised(victim.rows, SCALER)[:, :-1]
    trees = ensemble.empty(0.0)
    feature, value = np.full((1, 7), -1), np.zeros((1, 15))
    feature[0, 0], value[0, 1] = FEATURE, -9.0  # all but one row are sure, and most of them right
    trees = ensemble.add(trees, feature, np.full((1, 7), beyond(z, 1)), value)
    record = ArrayRecord({name: Array(np.asarray(array)) for name, array in trees.items()})
    asked = content(question(beyond(z, 40), ENOUGH, ENOUGH))
    with pytest.raises(Refused, match="rows in effect"):
        victim.ask(MessageType.HISTOGRAMS, arrays=record, config=asked[CONFIG])
