"""A server that only looks: a sum over a column, or a label, is the sum over the few rows that have it."""

from __future__ import annotations

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
    opened,
    rows_of,
    settings,
    silos,
    standardised,
    summed_curvature,
)

from runtime.contract import FedstackError
from runtime.tabular.data.dataset import Dataset, save_csv
from runtime.tabular.data.moments import Moments, Scaler

ROWS, COLUMN = 300, 0
NAMES = ("north", "south", "west")
OFF: dict[str, Any] = {key: value for key, value in SEEN.items() if key != "privacy-updates"}
TOLD_APART = r"would tell apart fewer than 3 rows"


def with_rare_value(rows: Dataset, count: int) -> Dataset:
    """Rows of which so many, and no others, have a one in a column, such as a rare diagnosis."""
    rows.x[:, COLUMN] = np.arange(len(rows)) < count
    return rows


def with_rare_label(rows: Dataset, count: int) -> Dataset:
    rows.y[:] = np.arange(len(rows)) < count
    return rows


def federation(folder: Path, change: object, **policy: Any) -> tuple[Accomplices, Scaler]:
    """Three members, of whom the first has one such row and the others none; the scaler is honest."""
    victims = silos(folder, dict.fromkeys(NAMES, ROWS), **policy)
    for victim in victims.values():
        change(victim.rows, int(victim.name == "north"))  # type: ignore[operator]
        save_csv(folder / victim.name / f"{victim.name}.csv", victim.rows)
    whole = np.concatenate([victim.rows.x for victim in victims.values()])
    return Accomplices(victims.values()), Moments.of(whole).scaler()


def first_row(grid: Accomplices, scaler: Scaler) -> np.ndarray:
    rows = standardised(next(v for v in grid.victims.values() if v.name == "north").rows, scaler)
    return np.asarray(rows[0])


def row_of_column(hessian: np.ndarray, scaler: Scaler) -> np.ndarray:
    """Take the scaler off a column of the Hessian: what is left is the sum of the rows that are not zero."""
    found = scaler.scale[COLUMN] * hessian[COLUMN] + scaler.mean[COLUMN] * hessian[-1]
    return np.asarray(found / found[-1])


def row_of_label(update: dict[str, np.ndarray]) -> np.ndarray:
    """At the zero model the gradient is half of all rows without the positive ones, the Hessian a quarter."""
    found = 2 * update["hessian"][-1] - update["gradient"]
    return np.asarray(found / found[-1])


def test_switched_off_the_first_sum_of_an_honest_run_is_the_row_with_the_rare_value(tmp_path: Path) -> None:
    grid, scaler = federation(tmp_path, with_rare_value, **OFF)
    update = summed_curvature(opened(grid), np.zeros(50), scaler)
    np.testing.assert_allclose(row_of_column(update["hessian"], scaler), first_row(grid, scaler), atol=1e-9)


def test_switched_off_the_first_sum_of_an_honest_run_is_the_row_with_the_rare_label(tmp_path: Path) -> None:
    grid, scaler = federation(tmp_path, with_rare_label, **OFF)
    update = summed_curvature(opened(grid), np.zeros(50), scaler)
    np.testing.assert_allclose(row_of_label(update), first_row(grid, scaler), atol=1e-9)


@pytest.mark.parametrize("change", [with_rare_value, with_rare_label])
def test_a_client_with_so_rare_a_row_is_in_no_sum(tmp_path: Path, change: object) -> None:
    grid, scaler = federation(tmp_path, change)
    with pytest.raises(FedstackError, match=TOLD_APART):
        summed_curvature(opened(grid), np.zeros(50), scaler)


@pytest.mark.parametrize("change", [with_rare_value, with_rare_label])
@pytest.mark.parametrize("count", [1, 2])
def test_nor_does_an_owner_who_wrote_plain_tell_it(tmp_path: Path, change: object, count: int) -> None:
    victim = Victim(tmp_path, change(rows_of(ROWS), count), PLAIN)  # type: ignore[operator]
    with pytest.raises(Refused, match=TOLD_APART):
        victim.ask("query.prepare", config=settings())


@pytest.mark.parametrize("change", [with_rare_value, with_rare_label])
def test_a_group_of_enough_rows_is_answered_for(tmp_path: Path, change: object) -> None:
    victim = Victim(tmp_path, change(rows_of(ROWS), 3), PLAIN)  # type: ignore[operator]
    victim.ask("query.prepare", config=settings())


def test_the_usual_value_may_be_any(tmp_path: Path) -> None:
    """A column that is one for all but one row tells that row as well."""
    rows = with_rare_value(rows_of(ROWS), ROWS - 1)
    with pytest.raises(Refused, match=TOLD_APART):
        Victim(tmp_path, rows, PLAIN).ask("query.prepare", config=settings())
