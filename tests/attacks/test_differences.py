"""A server whose every question is about many rows, while two of its answers differ by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from flwr.app import Array, ArrayRecord

from runtime.client import disclosure
from runtime.contract import FedstackError

SCALER = public_scaler()
ROWS = 150
COVER, DEEPEST = 14, 60
"""The first model is wrong about so many rows, the last one about so many: each answer is made of enough."""

STEEP, PROXIMAL = 3000.0, 1e4
FEW = r"rows in effect"
UNITS = 16
RATE, EPSILON = 1e-3 * np.sqrt(1 - 0.999) / (1 - 0.9), 1e-8
"""Of scikit-learn's Adam in its first step."""


def slope(victim: Victim, theta: np.ndarray) -> np.ndarray:
    """Have the gradient of training: a proximal term this strong leaves one small step along it."""
    how = {"proximal-mu": PROXIMAL, "iterations": 5, "c": 1e12}
    content = victim.ask("train", arrays=model(theta), config=settings(SCALER, **how))
    arrays = {name: array.numpy() for name, array in content.array_records["arrays"].items()}
    step = np.append(arrays["coef"][0], arrays["intercept"]) - theta
    return np.asarray(-step * PROXIMAL * ROWS)


def walk(gradient: Callable[[np.ndarray], np.ndarray], direction: np.ndarray, margins: np.ndarray) -> Any:
    """Move the intercept from one row to the next, far down in the tail; return what the answers differ by.

    The steps are between neighbouring rows, where a longer search would find them by bisection.
    """
    middle = (margins[COVER:DEEPEST] + margins[COVER + 1 : DEEPEST + 1]) / 2
    gradients = [gradient(STEEP * direction + np.append(np.zeros(49), -STEEP * at)) for at in middle]
    return np.array([row / row[-1] for row in np.diff(gradients, axis=0) if abs(row[-1]) > 0.5])


def tail(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a direction, and how far the rows lie along it, the farthest first."""
    direction = np.append(np.random.default_rng(1).standard_normal(49), 0.0)
    direction /= np.linalg.norm(direction)
    return direction, np.sort(rows @ direction)[::-1]


@pytest.fixture
def any_loss(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch off that a model's loss is looked at, and nothing else."""
    monkeypatch.setattr(disclosure, "LARGEST_LOSS", 1e9)
    return


@pytest.fixture
def no_curvature_rule(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch off that an answer is made of enough rows, so that only differences are looked at."""
    monkeypatch.setattr(disclosure, "effective_rows", lambda _: np.inf)
    return


@pytest.mark.usefixtures("any_loss")
def test_switched_off_two_gradients_of_many_rows_differ_by_one(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(ROWS, positives=0.1), SEEN)
    truth = standardised(victim.rows, SCALER)
    found = walk(lambda theta: slope(victim, theta), *tail(truth))
    assert rebuilt(found, truth, within=0.01) >= 10


@pytest.mark.usefixtures("any_loss")
@pytest.mark.parametrize("policy", [PLAIN, {**PLAIN, "privacy-min-rows": 4}])
def test_a_model_at_which_few_rows_are_undecided_is_refused_in_training(
    tmp_path: Path, policy: dict[str, Any]
) -> None:
    victim = Victim(tmp_path, rows_of(ROWS, positives=0.1), policy)
    with pytest.raises(Refused, match=FEW):
        walk(lambda theta: slope(victim, theta), *tail(standardised(victim.rows, SCALER)))


@pytest.mark.usefixtures("any_loss", "no_curvature_rule")
def test_answers_that_differ_by_few_rows_are_refused(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(ROWS, positives=0.1), PLAIN)
    with pytest.raises(Refused, match=r"would differ from another, or in itself, by fewer than 3\.7 rows"):
        walk(lambda theta: slope(victim, theta), *tail(standardised(victim.rows, SCALER)))


@pytest.mark.usefixtures("any_loss", "no_curvature_rule")
def test_members_of_a_sum_refuse_them_as_well(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, dict.fromkeys(("north", "south", "west"), ROWS)).values())
    aggregation = opened(grid)
    rows = np.concatenate([standardised(victim.rows, SCALER) for victim in grid.victims.values()])
    with pytest.raises(FedstackError, match="would differ from another"):
        walk(lambda theta: summed_curvature(aggregation, theta, SCALER)["gradient"], *tail(rows))


def test_an_honest_run_of_newton_steps_is_not_refused(tmp_path: Path) -> None:
    """Its last models hardly differ, and neither do its answers: by all rows, each a little."""
    victim, theta = Victim(tmp_path, rows_of(350), PLAIN), np.zeros(50)
    for _ in range(9):
        update = victim.curvature(theta, SCALER)
        penalised = update["gradient"] + np.append(theta[:-1], 0.0)
        theta = theta - np.linalg.solve(update["hessian"] + np.eye(50), penalised)
    assert np.abs(penalised).max() < 1e-3


def imprint(direction: np.ndarray, thresholds: np.ndarray) -> dict[str, np.ndarray]:
    """Return a network whose hidden units are active beyond one threshold each, and whose loss is ln 2.

    Fowl et al., "Robbing the fed: directly obtaining private data in federated learning with modified
    models", ICLR 2022.
    """
    return {
        "weights0": np.tile(direction[:-1, None], (1, UNITS)),
        "bias0": -thresholds,
        "weights1": np.full((UNITS, 1), 1e-10),
        "bias1": np.zeros(1),
    }


def imprinted(victim: Victim, network: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Undo the first step of Adam, which is nearly linear in gradients this small; return them per unit."""
    record = ArrayRecord({name: Array(array.copy()) for name, array in network.items()})
    content = victim.ask("train", arrays=record, config=settings(SCALER, iterations=1, model="mlp"))
    told = {name: array.numpy() for name, array in content.array_records["arrays"].items()}
    gradients = []
    for name in ("weights0", "bias0"):
        step = (network[name] - told[name]) / RATE
        gradients.append(step * EPSILON / (0.1 - np.sqrt(0.001) * np.abs(step)))
    penalty = 1e-3 / len(victim.rows)
    return gradients[0] - penalty * network["weights0"], gradients[1]


def bins(victim: Victim, *, at_once: int) -> np.ndarray:
    """Return what neighbouring thresholds differ by, all of a network at once or one in each message."""
    truth = standardised(victim.rows, SCALER)
    direction, margins = tail(truth)
    middle = (margins[20:60] + margins[21:61]) / 2
    weights, biases = [], []
    for start in range(0, len(middle) - at_once + 1, at_once):
        thresholds = np.resize(middle[start : start + at_once], UNITS)
        weight, bias = imprinted(victim, imprint(direction, thresholds))
        weights.append(weight[:, :at_once])
        biases.append(bias[:at_once])
    between, count = np.diff(np.hstack(weights)), np.diff(np.hstack(biases))
    return np.column_stack([(between / count).T, np.ones(len(count))])


@pytest.mark.parametrize("at_once", [UNITS, 1])
def test_switched_off_a_network_that_sorts_rows_into_bins_gives_them(tmp_path: Path, at_once: int) -> None:
    victim = Victim(tmp_path, rows_of(ROWS, positives=0.1), SEEN)
    found = bins(victim, at_once=at_once)
    assert rebuilt(found, standardised(victim.rows, SCALER), within=0.01) >= 10


@pytest.mark.parametrize("at_once", [UNITS, 1])
def test_a_network_that_sorts_rows_into_bins_is_refused(tmp_path: Path, at_once: int) -> None:
    victim = Victim(tmp_path, rows_of(ROWS, positives=0.1), PLAIN)
    with pytest.raises(Refused, match="would differ from another, or in itself"):
        bins(victim, at_once=at_once)


def test_a_hidden_unit_that_few_rows_reach_is_refused(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(ROWS, positives=0.1), PLAIN)
    direction, margins = tail(standardised(victim.rows, SCALER))
    with pytest.raises(Refused, match=r"or in itself, by fewer than 1\.1 rows in effect"):
        imprinted(victim, imprint(direction, np.full(UNITS, (margins[0] + margins[1]) / 2)))
