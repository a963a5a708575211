"""Bootstrap intervals: equal to scikit-learn's weighted scores, and as wide as they should be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from runtime.tabular.uncertainty import BinaryScores, Bootstrap, Interval, between, mean_of

ROWS = 300


def rows(seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = (random.random(ROWS) < 0.2).astype(np.int64)
    p = 1 / (1 + np.exp(-random.normal(y - 1.0, 1.0)))
    return y, np.round(p, 1) if ties else p


@pytest.mark.parametrize("ties", [False, True])
def test_each_score_of_a_resample_is_scikit_learn_s_of_the_weighted_rows(ties: bool) -> None:
    y, p = rows(1, ties)
    weights = np.random.default_rng(2).multinomial(ROWS, np.full(ROWS, 1 / ROWS), 5).astype(float)
    found = {name: score(weights) for name, score in BinaryScores(y, p).all.items()}
    for n, weight in enumerate(weights):
        kept = weight > 0
        reference = {
            "roc_auc": metrics.roc_auc_score(y, p, sample_weight=weight),
            "pr_auc": metrics.average_precision_score(y[kept], p[kept], sample_weight=weight[kept]),
            "log_loss": metrics.log_loss(y, p, sample_weight=weight),
            "brier": metrics.brier_score_loss(y, p, sample_weight=weight),
            "accuracy": metrics.accuracy_score(y, p >= 0.5, sample_weight=weight),
        }
        assert {name: scores[n] for name, scores in found.items()} == pytest.approx(reference, abs=1e-12)


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error_says() -> None:
    values = np.random.default_rng(3).normal(5, 2, 4000)
    interval = Bootstrap(len(values)).interval(mean_of(values))
    assert interval is not None
    error = values.std() / np.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_nineteen_of_twenty_intervals_hold_the_true_mean() -> None:
    held = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(0, 1, 200)
        interval = Bootstrap(200, seed, resamples=400).interval(mean_of(values))
        assert interval is not None
        held += interval.low <= 0 <= interval.high
    assert 0.90 <= held / 200 <= 0.98


def test_models_that_differ_are_told_apart_on_the_same_resamples_where_their_own_intervals_overlap() -> None:
    y, p = rows(5)
    worse = p + np.random.default_rng(6).normal(0, 0.12, ROWS)
    drawn = Bootstrap(ROWS)
    better, other = (BinaryScores(y, np.clip(one, 0, 1)).all["log_loss"] for one in (p, worse))
    mine, theirs = drawn.interval(better), drawn.interval(other)
    assert mine
    assert theirs
    assert mine.high > theirs.low
    difference = between(drawn.scores(other) - drawn.scores(better))
    assert difference is not None
    assert difference.above_zero
    same = between(drawn.scores(better) - drawn.scores(better))
    assert same == Interval(0.0, 0.0)
    assert not same.above_zero
    assert not same.below_zero


def test_a_score_that_most_resamples_do_not_have_has_no_interval() -> None:
    one_label = BinaryScores(np.zeros(50, dtype=np.int64), np.linspace(0, 1, 50))
    assert Bootstrap(50).interval(one_label.all["roc_auc"]) is None
    assert Bootstrap(0).interval(one_label.all["roc_auc"]) is None
    rare = np.r_[1, np.zeros(49)].astype(np.int64)  # a third of the resamples have no positive row
    assert Bootstrap(50).interval(BinaryScores(rare, np.linspace(0, 1, 50)).all["roc_auc"]) is None


def test_the_same_seed_gives_the_same_interval_and_the_parts_it_is_drawn_in_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, p = rows(7)
    whole = Bootstrap(ROWS, 1).interval(BinaryScores(y, p).all["roc_auc"])
    monkeypatch.setattr("runtime.tabular.uncertainty._CELLS", 10 * ROWS)
    assert Bootstrap(ROWS, 1).interval(BinaryScores(y, p).all["roc_auc"]) == whole
    assert Bootstrap(ROWS, 2).interval(BinaryScores(y, p).all["roc_auc"]) != whole
