"""Cox's second question brings hazards of the server's choice: they weigh the rows of each cell of time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from attacker import PLAIN, SEEN, Refused, Victim, settings
from flwr.app import Array, ArrayRecord

from runtime.messages import ARRAYS
from runtime.tabular.data.dataset import Dataset, load_csv
from runtime.tabular.data.describe import describe
from runtime.tabular.data.moments import Moments
from runtime.tabular.data.schema import Schema, schema_of
from runtime.tabular.models.linear_model import Ask

ROWS: Final = 300
GRID: Final = [10, 20, 30]
AFTER_ALL: Final = [0.0, 0.0, 0.0, 1.0]
"""Hazards under which only rows count whose time ends after the grid."""


def survivors(folder: Path, late: int) -> tuple[Dataset, Schema]:
    """Rows of which so many have a time after the grid's end."""
    rng = np.random.default_rng(0)
    week = rng.integers(1, 31, ROWS)
    week[:late] = 40
    event = rng.random(ROWS) < 0.5
    event[:late] = False
    frame = pd.DataFrame({"week": week, "arrest": event.astype(int)})
    for name in ("age", "income", "distance"):
        frame[name] = rng.normal(size=ROWS).round(3)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "north.csv", index=False)
    told = describe(folder / "north.csv")
    for column in told["columns"]:
        column |= {"grid": GRID} if column["name"] == "week" else {}
    (folder / "schema.json").write_text(json.dumps(told))
    schema = schema_of(folder / "north.csv")
    return load_csv(folder / "north.csv", schema), schema


class Hazards:
    """A server that knows the scaler and asks one client what it likes."""

    def __init__(self, folder: Path, late: int, policy: dict[str, Any]) -> None:
        rows, self._schema = survivors(folder, late)
        self.victim = Victim(folder, rows, policy)
        encoded = self._schema.encoding.encode(rows.x)
        self.scaler = Moments.of(rows.x, self._schema).scaler()
        self.truth = (encoded - self.scaler.mean) / self.scaler.scale

    def ask(self, kind: Ask, hazards: list[float], theta: np.ndarray | None = None) -> dict[str, np.ndarray]:
        coef = np.zeros(self.truth.shape[1]) if theta is None else theta
        config = settings(
            self.scaler, schema=self._schema.digest(), model="cox", ask=str(kind), hazards=hazards
        )
        model = ArrayRecord({"coef": Array(coef[None, :].copy()), "intercept": Array(np.zeros(0))})
        content = self.victim.ask("train.curvature", arrays=model, config=config)
        return {name: array.numpy() for name, array in content.array_records[ARRAYS].items()}


def test_switched_off_hazards_after_the_end_are_the_row_that_ended_there(tmp_path: Path) -> None:
    server = Hazards(tmp_path, 1, SEEN)
    products = server.ask(Ask.CURVATURE, AFTER_ALL)["hessian"]
    row = server.truth[0]
    np.testing.assert_allclose(products, np.outer(row, row), atol=1e-9)


@pytest.mark.parametrize("late", [1, 2])
def test_a_cell_of_so_few_rows_lets_nothing_leave(tmp_path: Path, late: int) -> None:
    server = Hazards(tmp_path, late, PLAIN)
    with pytest.raises(Refused, match=r"tell apart fewer than 3 rows"):
        server.ask(Ask.RISK, [])


@pytest.mark.parametrize("kind", [Ask.GRADIENT, Ask.BOUND])
def test_hazards_that_count_few_rows_only_are_refused(tmp_path: Path, kind: Ask) -> None:
    """These two tell no cell apart, but for the hazards that were sent."""
    server = Hazards(tmp_path, 8, PLAIN)
    server.ask(kind, [0.1, 0.2, 0.3, 0.3])
    with pytest.raises(Refused, match="rows in effect"):
        server.ask(kind, [0.0, 0.0, 0.0, 1e6])


def test_what_tells_cells_apart_needs_enough_rows_in_each(tmp_path: Path) -> None:
    server = Hazards(tmp_path, 8, PLAIN)
    with pytest.raises(Refused, match="fewer than 11 rows in effect"):
        server.ask(Ask.RISK, [])


def test_hazards_that_nearly_count_few_rows_only_are_refused(tmp_path: Path) -> None:
    server = Hazards(tmp_path, 8, PLAIN)
    with pytest.raises(Refused, match="rows in effect"):
        server.ask(Ask.BOUND, [1e-6, 1e-6, 1e-6, 1e6])


def test_a_model_at_which_one_row_of_a_cell_outweighs_the_others_is_refused(tmp_path: Path) -> None:
    server = Hazards(tmp_path, 30, PLAIN)
    with pytest.raises(Refused, match=r"rows in effect|far worse"):
        server.ask(Ask.RISK, [], theta=200.0 * server.truth[0] / np.linalg.norm(server.truth[0]))


@pytest.mark.parametrize(
    "hazards",
    [
        [],
        [0.1, 0.2, 0.3],
        [0.1, 0.2, 0.3, 0.4, 0.5],
        [0.3, 0.2, 0.3, 0.4],
        [-0.1, 0.2, 0.3, 0.4],
        [0.1, 0.2, float("nan"), 0.4],
        [0.1, 0.2, 0.3, float("inf")],
        [float("inf")] * 4,
        [1e308, 1e308, 1e308, 1e308],
    ],
    ids=str,
)
def test_what_is_no_cumulative_hazard_is_not_answered(tmp_path: Path, hazards: list[float]) -> None:
    server = Hazards(tmp_path, 30, PLAIN)
    with pytest.raises(Refused, match="privacy policy refuses"):
        server.ask(Ask.CURVATURE, hazards)


def test_honest_hazards_are_answered_for(tmp_path: Path) -> None:
    server = Hazards(tmp_path, 30, PLAIN)
    server.ask(Ask.RISK, [])
    found = server.ask(Ask.CURVATURE, [0.1, 0.2, 0.3, 0.3])
    assert found["hessian"].shape == (3, 3)


def test_no_second_hazards_differ_from_the_first_by_a_few_rows(tmp_path: Path) -> None:
    """Two cumulative hazards that differ in the last cell only: the difference is that cell's rows."""
    server = Hazards(tmp_path, 3, PLAIN)
    server.ask(Ask.BOUND, [1.0, 2.0, 3.0, 3.0])
    with pytest.raises(Refused, match="rows in effect"):
        server.ask(Ask.BOUND, [1.0, 2.0, 3.0, 3.1])
