"""A threshold by what matters, judged on other rows than those that chose it; precision at k; calibration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.operating_point import (
    Aim,
    calibration,
    counts,
    halves,
    operating_point,
    precision_at,
)


def rows(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.1).astype(np.int64)
    return y, 1 / (1 + np.exp(-random.normal(2.0 * y - 2.5, 1.0)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "recall",
        "recall=0",
        "recall=1.1",
        "precision=x",
        "cost=10",
        "cost=0:1",
        "cost=1:0",
        "f1=0.5",
        "recall=-1",
    ],
)
def test_an_aim_that_is_none_is_refused_with_the_three_that_there_are(text: str) -> None:
    with pytest.raises(FedstackError, match=r"recall=0\.8, precision=0\.5") as refused:
        Aim.read(text)
    assert refused.value.code is ExitCode.CONFIG
    assert repr(text) in str(refused.value)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.1, 0.5, 0.8, 1.0]), st.booleans())
def test_the_threshold_reaches_its_aim_and_the_next_one_would_do_worse(
    seed: int, share: float, ties: bool
) -> None:
    y, p = rows(60, seed)
    p = np.round(p, 1) if ties else p
    if not y.any():
        return
    threshold = Aim.read(f"recall={share}").threshold(y, p)
    assert threshold is not None
    assert recall_score(y, p >= threshold) >= share - 1e-9
    higher = p[p > threshold]
    if len(higher):
        assert recall_score(y, p >= higher.min()) < share
    threshold = Aim.read(f"precision={share}").threshold(y, p)
    reach = [t for t in np.unique(p) if y[p >= t].any() and y[p >= t].mean() >= share - 1e-9]
    assert threshold == (min(reach) if reach else None)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["10:1", "1:1", "1:50", "1000:1"]))
def test_no_threshold_costs_less(seed: int, ratio: str) -> None:
    y, p = rows(60, seed)
    missed, alarm = map(float, ratio.split(":"))

    def cost(threshold: float) -> float:
        found: dict[str, float] = counts(y, p, threshold)
        return missed * found["fn"] + alarm * found["fp"]

    threshold = Aim.read(f"cost={ratio}").threshold(y, p)
    assert threshold is not None
    assert cost(threshold) == min(cost(t) for t in [*np.unique(p), math.inf])


def test_what_is_shown_of_a_threshold_is_of_rows_that_did_not_choose_it() -> None:
    y, p = rows()
    choosing, judging = halves(y, 1)
    assert sorted([*choosing, *judging]) == list(range(len(y)))
    assert y[choosing].mean() == pytest.approx(y[judging].mean(), abs=1e-3)
    aim = Aim.read("recall=0.8")
    point = operating_point(aim, y, p, seed=1)
    assert point["threshold"] == aim.threshold(y[choosing], p[choosing])
    assert point["judged"] == counts(y[judging], p[judging], point["threshold"])
    changed = p.copy()
    changed[judging] = 0.0  # what is judged has no say in what is chosen
    assert operating_point(aim, y, changed, seed=1)["threshold"] == point["threshold"]


def test_on_labels_that_mean_nothing_a_recall_is_not_reached_by_looking() -> None:
    """Chosen and judged on the same rows, a threshold for precision looks better than it is."""
    random = np.random.default_rng(4)
    y, p = (random.random(400) < 0.5).astype(np.int64), random.random(400)
    aim = Aim.read("precision=0.7")
    seen = aim.threshold(y, p)
    assert seen is not None
    assert counts(y, p, seen)["precision"] >= 0.7
    judged = [
        operating_point(aim, y, p, seed)["judged"]
        for seed in range(20)
        if "judged" in operating_point(aim, y, p, seed)
    ]
    assert np.nanmean([one["precision"] for one in judged]) < 0.65


def test_too_few_rows_of_a_label_or_an_aim_that_nothing_reaches_is_said() -> None:
    y, p = np.r_[np.ones(10), np.zeros(90)].astype(np.int64), np.linspace(0, 1, 100)
    assert "5 rows of one label" in operating_point(Aim.read("recall=0.5"), y, p, 0)["missing"]
    y, p = np.r_[np.ones(50), np.zeros(50)].astype(np.int64), np.linspace(0, 1, 100)
    assert (
        "no threshold reaches precision=0.9" in operating_point(Aim.read("precision=0.9"), y, p, 0)["missing"]
    )


def test_precision_at_k_counts_the_first_k_and_ties_in_proportion() -> None:
    y = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    told = precision_at(y, p, [0.1, 0.3])
    assert all(one["interval"]["low"] < one["precision"] <= one["interval"]["high"] for one in told)
    assert [{name: one[name] for name in one if name != "interval"} for one in told] == [
        {"share": 0.1, "k": 1, "precision": 1.0, "lift": 5.0},
        {"share": 0.3, "k": 3, "precision": pytest.approx(2 / 3), "lift": pytest.approx(10 / 3)},
    ]
    tied = precision_at(np.array([1, 0, 0, 0]), np.full(4, 0.5), [0.5])
    assert tied[0]["precision"] == 0.25


def test_calibration_has_every_row_once_and_a_calibrated_model_lies_on_the_line() -> None:
    random = np.random.default_rng(0)
    p = random.random(20_000)
    y = (random.random(20_000) < p).astype(np.int64)
    groups = calibration(y, p)
    assert sum(group["rows"] for group in groups) == len(y)
    assert len(groups) == 10
    assert all(abs(group["said"] - group["true"]) < 0.05 for group in groups)
    assert [group["said"] for group in calibration(y, np.full(20_000, 0.5))] == [0.5]
