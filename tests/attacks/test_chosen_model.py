"""A server that chooses models: saturated ones let a single row through, and differences isolate it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacker import (
    PLAIN,
    SEEN,
    Accomplices,
    Refused,
    Victim,
    model,
    opened,
    public_scaler,
    rebuilt,
    rows_of,
    settings,
    silos,
    standardised,
    summed_curvature,
)

from runtime.client import disclosure
from runtime.contract import FedstackError
from runtime.tabular.data.moments import Scaler

SCALER = public_scaler()
ROWS, MANY = 60, 400
Gradient = Callable[[np.ndarray], np.ndarray]


@pytest.fixture
def any_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off that models are looked at before they are answered."""
    monkeypatch.setattr(disclosure, "check", lambda *_, **__: None)


def bisect(gradient: Gradient, size: int, wanted: int, most: int = 600) -> np.ndarray:
    """Move the intercept of a steep model until one row at a time has changed sides; return those rows.

    With margins far from zero the gradient is the sum of the rows that are on the wrong side, so two of them
    differ by the rows in between.
    """
    direction = np.append(np.random.default_rng(3).standard_normal(size - 1), 0.0) * 1e7
    asked = 0

    def at(threshold: float) -> np.ndarray:
        nonlocal asked
        asked += 1
        return gradient(direction + np.append(np.zeros(size - 1), -threshold))

    low, high = -3e8, 3e8
    pending, found = [(low, at(low), high, at(high))], list[np.ndarray]()
    while pending and len(found) < wanted and asked < most:
        start, below, end, above = pending.pop()
        between = below - above
        if round(between[-1]) == 1:
            found.append(between / between[-1])
        elif round(between[-1]) > 1:
            middle = (start + end) / 2
            half = at(middle)
            pending += [(start, below, middle, half), (middle, half, end, above)]
    return np.array(found)


@pytest.mark.usefixtures("any_model")
def test_switched_off_bisection_gives_rows(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), SEEN)
    found = bisect(lambda theta: victim.curvature(theta, SCALER)["gradient"], 50, wanted=40)
    assert rebuilt(found, standardised(victim.rows, SCALER), within=1e-6) >= 35


@pytest.mark.usefixtures("any_model")
def test_switched_off_bisection_works_on_the_sum_of_three_as_well(tmp_path: Path) -> None:
    off: dict[str, Any] = {key: value for key, value in SEEN.items() if key != "privacy-updates"}
    grid = Accomplices(silos(tmp_path, {"north": 30, "south": 30, "west": 30}, **off).values())
    aggregation = opened(grid)
    found = bisect(lambda theta: summed_curvature(aggregation, theta, SCALER)["gradient"], 50, wanted=20)
    truth = np.concatenate([standardised(victim.rows, SCALER) for victim in grid.victims.values()])
    assert rebuilt(found, truth, within=1e-6) >= 15


def test_a_saturated_model_is_refused(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(MANY), PLAIN)
    with pytest.raises(Refused, match=r"more than 6\.9 nats a row|rows in effect"):
        bisect(lambda theta: victim.curvature(theta, SCALER)["gradient"], 50, wanted=1)


def test_a_saturated_model_is_refused_in_a_sum(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, {"north": MANY, "south": MANY, "west": MANY}).values())
    aggregation = opened(grid)
    with pytest.raises(FedstackError, match=r"more than 6\.9 nats a row|rows in effect"):
        bisect(lambda theta: summed_curvature(aggregation, theta, SCALER)["gradient"], 50, wanted=1)


def outlying(rows: np.ndarray) -> tuple[int, np.ndarray]:
    """Return the row that stands out most along any one feature, and the direction in which it does."""
    spread = rows[:, :-1] / np.maximum(1e-12, np.sort(np.abs(rows[:, :-1]), axis=0)[-2])
    row, feature = np.unravel_index(np.abs(spread).argmax(), spread.shape)
    direction = np.zeros(rows.shape[1])
    direction[feature] = np.sign(rows[row, feature])
    return int(row), direction


@pytest.mark.parametrize("steepness", [3.0, 10.0, 30.0, 300.0, 1e7])
def test_a_model_in_which_only_the_largest_row_counts_is_refused(tmp_path: Path, steepness: float) -> None:
    """Moderate coefficients suffice where one row stands out: all others are on the flat side."""
    rows = rows_of(MANY, positives=0.1)
    rows.x[0] = rows.x.max(axis=0) * 1e6
    victim = Victim(tmp_path, rows, PLAIN)
    truth = standardised(victim.rows, SCALER)
    row, direction = outlying(truth)
    assert row == 0
    theta = steepness * direction
    theta[-1] = -float(truth[row] @ theta)
    with pytest.raises(Refused, match=r"nats a row|rows in effect"):
        victim.curvature(theta, SCALER)


@pytest.mark.parametrize("column", [0, 7, 48])
@pytest.mark.parametrize("scale", [1e-12, 1e-300, 0.0, np.inf, np.nan, -1e-9])
def test_a_scaler_that_lets_one_column_outweigh_all_isolates_nobody(
    tmp_path: Path, column: int, scale: float
) -> None:
    """With one column blown up the row with its largest value would be the sum."""
    rows = rows_of(MANY)
    rows.x[:, column] = np.where(np.arange(MANY) == 5, rows.x[:, column].max() * 1e3 + 1, 0.0)
    victim = Victim(tmp_path, rows, PLAIN)
    wild = Scaler(np.zeros(49), np.where(np.arange(49) == column, scale, SCALER.scale))
    with pytest.raises(Refused, match=r"rows in effect|blows some of them up|not made of usable numbers"):
        victim.curvature(np.zeros(50), wild)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_model_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    victim = Victim(tmp_path, rows_of(MANY), PLAIN)
    with pytest.raises(Refused, match="not made of usable numbers"):
        victim.curvature(np.full(50, value), SCALER)


@pytest.mark.parametrize("kind", ["train", "evaluate", "query.client_gain"])
def test_every_kind_of_message_looks_at_the_model(tmp_path: Path, kind: str) -> None:
    victim = Victim(tmp_path, rows_of(MANY), PLAIN)
    with pytest.raises(Refused, match=r"nats a row|rows in effect"):
        victim.ask(kind, arrays=model(np.full(50, 1e7)), config=settings(SCALER, rounds=1, validation=0.2))


def test_a_refusal_is_the_only_bit_there_is(tmp_path: Path) -> None:
    """Refusals would answer questions about the rows, one bit each; there is one in a run."""
    victim = Victim(tmp_path, rows_of(MANY), PLAIN)
    bits = set()
    for size in (1e7, 0.01, 1.0, 0.0):
        with pytest.raises(Refused) as caught:
            victim.curvature(np.full(50, size), SCALER)
        bits.add(str(caught.value))
    assert len(bits) == 1


def test_a_refusal_tells_nothing_of_the_rows(tmp_path: Path) -> None:
    texts = set()
    for seed in range(5):
        victim = Victim(tmp_path / str(seed), rows_of(MANY, seed), PLAIN)
        with pytest.raises(Refused) as caught:
            victim.curvature(np.full(50, 1e7), SCALER)
        texts.add(str(caught.value))
    assert len(texts) == 1


def stands_alone(truth: np.ndarray, row: int) -> np.ndarray:
    """Return a step of the model that only one row's margin follows: found with the rows at hand."""
    target = np.zeros(len(truth))
    target[row] = 4.0
    return np.asarray(np.linalg.lstsq(truth, target, rcond=None)[0])


def test_two_plausible_models_whose_gradients_differ_by_one_row_are_not_both_answered(tmp_path: Path) -> None:
    """Each model alone is harmless; the difference of their gradients would be a multiple of one row."""
    victim = Victim(tmp_path, rows_of(45), {**PLAIN, "privacy-max-numbers-per-cell": 1e9})
    truth = standardised(victim.rows, SCALER)
    victim.curvature(np.zeros(50), SCALER)
    with pytest.raises(Refused, match="would differ from another by fewer than 3 rows in effect"):
        victim.curvature(stands_alone(truth, 7), SCALER)


def test_switched_off_their_difference_is_that_row(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(45), SEEN)
    truth = standardised(victim.rows, SCALER)
    gradients = [
        victim.curvature(theta, SCALER)["gradient"] for theta in (np.zeros(50), stands_alone(truth, 7))
    ]
    between = gradients[1] - gradients[0]
    assert rebuilt((between / between[-1])[None, :], truth, within=1e-6) == 1
