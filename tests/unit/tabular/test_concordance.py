"""Concordance of survival times: the pairs counted fast are the pairs counted one by one."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines.utils import concordance_index

from runtime.tabular.concordance import Values, concordance, pairs_of_each

CELLS = st.tuples(st.integers(1, 4), st.booleans(), st.integers(0, 3))


@given(st.lists(CELLS, min_size=1, max_size=25))
def test_each_row_has_its_pairs_ties_in_time_and_hazard_among_them(rows: list[tuple[int, bool, int]]) -> None:
    y = np.array([t if event else -t for t, event, _ in rows], dtype=float)
    hazard = np.array([h for _, _, h in rows], dtype=float)
    for found, expected in zip(pairs_of_each(y, hazard), one_by_one(y, hazard), strict=True):
        assert found.tolist() == expected.tolist()


def one_by_one(y: Values, hazard: Values) -> tuple[Values, Values]:
    right, pairs = np.zeros(len(y)), np.zeros(len(y))
    for i in range(len(y)):
        for j in range(len(y)):
            later = abs(y[j]) > abs(y[i]) or (abs(y[j]) == abs(y[i]) and y[j] < 0)
            if y[i] > 0 and later:
                credit = (hazard[i] > hazard[j]) + 0.5 * (hazard[i] == hazard[j])
                right[[i, j]] += credit
                pairs[[i, j]] += 1
    return right, pairs


def test_it_is_lifelines_concordance() -> None:
    draw = np.random.default_rng(0)
    seen, event, hazard = draw.integers(1, 60, 400), draw.random(400) < 0.6, draw.integers(0, 50, 400) / 7
    ours = concordance(np.where(event, seen, -seen).astype(float), hazard)
    assert ours == pytest.approx(concordance_index(seen, -hazard, event), abs=1e-12)


def test_rows_of_which_no_two_can_be_compared_have_none() -> None:
    assert np.isnan(concordance(np.array([-1.0, -2.0, -3.0]), np.arange(3.0)))


def test_fifty_thousand_rows_take_seconds_not_minutes() -> None:
    draw = np.random.default_rng(0)
    y, hazard = draw.exponential(size=50_000) * draw.choice([1, -1], 50_000), draw.normal(size=50_000)
    began = time.process_time()
    right, pairs = pairs_of_each(y, hazard)
    assert time.process_time() - began < 10
    assert right.sum() / pairs.sum() == pytest.approx(0.5, abs=0.01)
