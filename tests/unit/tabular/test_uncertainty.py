"""Bootstrap intervals: a resample's scores are those of its rows; intervals are as wide as they should be."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from runtime.tabular import task_scores, weighted_scores
from runtime.tabular.columns.columns import Task
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.schema import CMS, of_columns
from runtime.tabular.uncertainty import (
    RESAMPLES,
    Bootstrap,
    Interval,
    Scores,
    between,
    difference,
    means,
    share,
)

ROWS = 300


def rows(seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = (random.random(ROWS) < 0.2).astype(np.int64)
    p = 1 / (1 + np.exp(-random.normal(y - 1.0, 1.0)))
    return y, np.round(p, 1) if ties else p


def of(task: Task, y: np.ndarray, exposure: np.ndarray | None = None) -> Dataset:
    """Return rows of a task whose features nobody looks at."""
    schema = replace(CMS, task=task)
    if task is Task.COX:
        time = {"name": "t", "role": "time", "grid": [1.0, 2.0, 3.0]}
        event = {"name": "e", "role": "event", "type": "binary", "levels": ["0", "1"]}
        feature = {"name": "x", "role": "feature", "type": "real"}
        made, faults = of_columns({"name": "times", "task": "cox", "columns": [time, event, feature]})
        assert made is not None, faults
        schema = made
    return Dataset(np.zeros((len(y), 49)), y, schema, exposure)


def example(task: Task, seed: int, size: int = ROWS) -> tuple[Dataset, np.ndarray]:
    """Return rows of a task and what a model that is better than guessing says of them."""
    random = np.random.default_rng(seed)
    signal = random.normal(size=size)
    if task is Task.BINARY:
        y = (random.random(size) < 1 / (1 + np.exp(1.5 - signal))).astype(np.int64)
        return of(task, y), np.round(1 / (1 + np.exp(1.5 - signal)), 2)
    if task is Task.MULTICLASS:
        raw = np.exp(np.column_stack([signal, -signal, np.zeros(size)]))
        p = raw / raw.sum(axis=1, keepdims=True)
        return of(task, np.array([random.choice(3, p=one) for one in p])), p
    if task is Task.LINEAR:
        return of(task, 1e6 + signal + random.normal(size=size)), 1e6 + signal
    exposure, rate = random.uniform(0.5, 3, size), np.exp(0.5 * signal)
    if task is Task.POISSON:
        return of(task, random.poisson(exposure * rate).astype(float), exposure), rate
    time = np.round(random.exponential(1 / rate), 1) + 0.1
    return of(task, np.where(random.random(size) < 0.6, time, -time)), np.round(rate, 1)


def resampled(dataset: Dataset, predicted: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Score a resample with its rows as often as they were drawn: no weight anywhere."""
    drawn = np.repeat(np.arange(len(dataset)), weights.astype(int))
    return task_scores.final_scores(dataset.take(drawn), predicted[drawn])


@pytest.mark.parametrize("task", Task)
def test_each_score_of_a_resample_is_that_of_its_rows(task: Task) -> None:
    dataset, predicted = example(task, 1)
    weights = np.random.default_rng(2).multinomial(ROWS, np.full(ROWS, 1 / ROWS), 4).astype(float)
    found = weighted_scores.of(dataset, predicted)(weights)
    for n, weight in enumerate(weights):
        reference = resampled(dataset, predicted, weight)
        mine = {name: values[n] for name, values in found.items()}
        if task is Task.COX:  # the linear part of a ratio over pairs: as near as its square is small
            assert mine.pop("concordance") == pytest.approx(reference["concordance"], abs=0.01)
        assert mine == pytest.approx({name: reference[name] for name in mine}, rel=1e-9)
    missing = set(task_scores.SCORES[task]) - found.keys()
    assert missing == ({"calibration_error"} if task is Task.MULTICLASS else set())


@pytest.mark.parametrize("task", Task)
def test_a_figure_lies_in_its_own_interval(task: Task) -> None:
    dataset, predicted = example(task, 3)
    whole = task_scores.final_scores(dataset, predicted)
    told = weighted_scores.intervals(dataset, predicted)
    assert told
    for name, interval in told.items():
        assert interval["low"] < whole[name] < interval["high"], name


def test_the_interval_of_concordance_is_as_wide_as_resampling_all_pairs_makes_it() -> None:
    dataset, hazard = example(Task.COX, 4, 150)
    random = np.random.default_rng(5)
    weights = random.multinomial(150, np.full(150, 1 / 150), 200).astype(float)
    exact = [resampled(dataset, hazard, one)["concordance"] for one in weights]
    linear = weighted_scores.of(dataset, hazard)(weights)["concordance"]
    assert np.std(linear) == pytest.approx(np.std(exact), rel=0.15)
    assert np.mean(linear) == pytest.approx(np.mean(exact), abs=0.01)


def score(values: np.ndarray) -> Scores:
    return lambda weights: {"mean": means(weights, values)[0]}


def interval_of_mean(values: np.ndarray, seed: int = 0) -> Interval:
    found = between(Bootstrap(len(values), seed).scores(score(values))["mean"])
    assert found is not None
    return found


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    values = np.random.default_rng(3).normal(5, 2, 4000)
    interval = interval_of_mean(values)
    error = values.std() / np.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_nineteen_of_twenty_intervals_hold_the_true_mean() -> None:
    found = [interval_of_mean(np.random.default_rng(seed).normal(0, 1, 200), seed) for seed in range(200)]
    assert 0.90 <= sum(one.low <= 0 <= one.high for one in found) / 200 <= 0.98


def test_models_that_differ_are_told_apart_on_the_same_resamples_where_their_own_intervals_overlap() -> None:
    y, p = rows(5)
    worse = np.clip(p + np.random.default_rng(6).normal(0, 0.12, ROWS), 0, 1)
    dataset = of(Task.BINARY, y)
    mine, theirs = (weighted_scores.intervals(dataset, one)["log_loss"] for one in (p, worse))
    assert mine["high"] > theirs["low"]
    better, other = (
        Bootstrap(ROWS).scores(weighted_scores.of(dataset, one))["log_loss"] for one in (p, worse)
    )
    apart = between(other - better)
    assert apart is not None
    assert apart.above_zero
    assert difference(better, better) == {"low": 0.0, "high": 0.0}
    assert not Interval(0.0, 0.0).above_zero
    assert not Interval(0.0, 0.0).below_zero


@pytest.mark.parametrize("y", [np.zeros(50), np.ones(50), np.r_[1, np.zeros(49)], np.zeros(0)], ids=str)
def test_a_score_that_many_resamples_do_not_have_has_no_interval(y: np.ndarray) -> None:
    told = weighted_scores.intervals(of(Task.BINARY, y.astype(np.int64)), np.linspace(0, 1, len(y)))
    assert "roc_auc" not in told
    assert ("log_loss" in told) == (len(y) > 0)
    assert difference(np.full(9, math.nan), np.zeros(9)) == {"low": None, "high": None}


@pytest.mark.parametrize("task", [Task.LINEAR, Task.POISSON, Task.COX])
def test_rows_that_are_all_alike_leave_out_what_is_not_defined(task: Task) -> None:
    values: dict[Task, Any] = {
        Task.LINEAR: np.full(30, 7.1),
        Task.POISSON: np.zeros(30),
        Task.COX: -np.ones(30),
    }
    told = weighted_scores.intervals(of(task, values[task]), np.full(30, 0.5))
    assert not {"r2", "d2", "calibration", "concordance", "partial_loss"} & told.keys()


def test_the_same_seed_gives_the_same_interval_and_the_parts_it_is_drawn_in_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(7).normal(size=ROWS)
    whole = interval_of_mean(values, 1)
    monkeypatch.setattr("runtime.tabular.uncertainty._CELLS", 10 * ROWS)
    parts = interval_of_mean(values, 1)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=1e-12)
    assert interval_of_mean(values, 2) != whole


def test_more_rows_are_resampled_less_often() -> None:
    assert [Bootstrap(rows).resamples for rows in (0, 1100, 2500, 5000, 10**6)] == [RESAMPLES] * 3 + [
        500,
        200,
    ]


@pytest.mark.parametrize(("hits", "of_how_many"), [(0, 12), (12, 12), (27, 100), (0.5, 3)])
def test_the_interval_of_a_share_is_wilson_s_and_stays_between_none_and_all(
    hits: float, of_how_many: int
) -> None:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(hits, of_how_many, method="wilson")
    told = share(hits, of_how_many)
    assert (told["low"], told["high"]) == pytest.approx((low, high), abs=1e-6)
    assert math.isnan(share(0, 0)["low"])
