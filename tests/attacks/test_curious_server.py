"""A server that keeps to the protocol and looks: what two Hessians of a small silo tell of its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attacker import (
    PLAIN,
    SEEN,
    Accomplices,
    Refused,
    Victim,
    opened,
    public_scaler,
    rebuilt,
    rows_of,
    settings,
    silos,
    standardised,
    summed_curvature,
)

from runtime.contract import FedstackError
from runtime.messages import ARRAYS, MASKED
from runtime.server.aggregation.secure_aggregation import SecureAggregation

SCALER = public_scaler()
SIZE = 50


def models(count: int) -> list[np.ndarray]:
    """Models such as rounds of training have: the zero model, and some that know a little."""
    rng = np.random.default_rng(7)
    return [np.zeros(SIZE)] + [0.1 * rng.standard_normal(SIZE) for _ in range(count - 1)]


def rows_from(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the rows as eigenvectors of H1 pinv(H0), each scaled so that its intercept is one."""
    values, vectors = np.linalg.eig(second @ np.linalg.pinv(first, rcond=1e-10))
    real = vectors[:, np.abs(values) > 1e-6].real
    return np.array([column / column[-1] for column in real.T if abs(column[-1]) > 1e-9])


def labels_from(rows: np.ndarray, theta: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the labels, given the rows and the gradient of the summed loss."""
    p = 1 / (1 + np.exp(-rows @ theta))
    residual: np.ndarray = np.linalg.lstsq(rows.T, gradient, rcond=None)[0]
    return np.asarray(np.round(p - residual))


def test_switched_off_two_hessians_are_the_rows_and_their_labels(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(40), SEEN)
    first, second = (victim.curvature(theta, SCALER) for theta in models(2))
    truth = standardised(victim.rows, SCALER)
    found = rows_from(first["hessian"], second["hessian"])
    assert rebuilt(found, truth) == 40
    order = [int(np.abs(truth - row).max(axis=1).argmin()) for row in found]
    assert (labels_from(found, models(2)[1], second["gradient"]) == victim.rows.y[order]).all()


def test_the_default_shows_a_server_no_update_at_all(tmp_path: Path) -> None:
    victim = silos(tmp_path, {"north": 40, "south": 40, "west": 40})["north"]
    with pytest.raises(Refused, match="would be visible to the server"):
        victim.curvature(np.zeros(SIZE), SCALER)


def test_an_owner_who_wrote_plain_still_gives_no_second_hessian_of_few_rows(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(40), PLAIN)
    first, second = models(2)
    victim.curvature(first, SCALER)
    with pytest.raises(Refused, match="more numbers would have left than its rows have cells"):
        victim.curvature(second, SCALER)


def asked(aggregation: SecureAggregation, theta: np.ndarray) -> dict[str, np.ndarray]:
    return summed_curvature(aggregation, theta, SCALER)


def test_what_a_client_sends_into_a_sum_is_noise_to_the_server(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, {"north": 60, "south": 60, "west": 60}).values())
    aggregation = opened(grid)
    sums = [asked(aggregation, theta) for theta in models(2)]
    masked = [m for m in grid.seen if not m.has_error() and MASKED in m.content.array_records.get(ARRAYS, {})]
    assert len(masked) == 6
    for message in masked:
        words = message.content.array_records[ARRAYS][MASKED].numpy()
        bits = np.unpackbits(words.view(np.uint8)).mean()
        assert abs(bits - 0.5) < 0.01
    found = rows_from(sums[0]["hessian"], sums[1]["hessian"])
    truth = np.concatenate([standardised(victim.rows, SCALER) for victim in grid.victims.values()])
    assert rebuilt(found, truth, within=0.1) == 0


def test_switched_off_the_sum_of_three_tiny_silos_is_their_rows(tmp_path: Path) -> None:
    off = {key: value for key, value in SEEN.items() if key != "privacy-updates"}
    grid = Accomplices(silos(tmp_path, {"north": 15, "south": 15, "west": 15}, seed=3, **off).values())
    aggregation = opened(grid)
    sums = [asked(aggregation, theta) for theta in models(2)]
    truth = np.concatenate([standardised(victim.rows, SCALER) for victim in grid.victims.values()])
    assert rebuilt(rows_from(sums[0]["hessian"], sums[1]["hessian"]), truth) >= 40


def test_three_tiny_silos_do_not_answer_a_second_time(tmp_path: Path) -> None:
    grid = Accomplices(silos(tmp_path, {"north": 15, "south": 15, "west": 15}, seed=3).values())
    aggregation = opened(grid)
    asked(aggregation, models(2)[0])
    with pytest.raises(FedstackError, match="more numbers would have left than its rows have cells"):
        asked(aggregation, models(2)[1])


def test_a_silo_below_the_least_rows_answers_nothing(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(10), PLAIN)
    with pytest.raises(Refused, match="fewer than 11 rows"):
        victim.ask("query.prepare", config=settings())
