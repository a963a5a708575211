from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from runtime.tabular.metrics import CURVE_POINTS, classification_report, confusion, curves, scores

Y = np.array([0, 0, 1, 1])
P = np.array([0.1, 0.4, 0.35, 0.8])


def noisy(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, rows)
    return y, (0.3 * y + 0.7 * rng.random(rows)).clip(0, 1)


def test_scores_by_hand() -> None:
    assert scores(Y, P) == pytest.approx(
        {
            "roc_auc": 0.75,
            "pr_auc": 0.5 + 0.5 * 2 / 3,
            "log_loss": -(math.log(0.9) + math.log(0.6) + math.log(0.35) + math.log(0.8)) / 4,
            "accuracy": 0.75,
        }
    )


@pytest.mark.parametrize("label", [0, 1])
def test_areas_are_undefined_with_one_label_and_the_rest_is_not(label: int) -> None:
    made = scores(np.full(4, label), P)
    assert math.isnan(made["roc_auc"])
    assert math.isnan(made["pr_auc"])
    assert math.isfinite(made["log_loss"])
    assert made["accuracy"] == (0.75 if label == 0 else 0.25)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_scores_are_finite_for_any_probabilities(probability: list[float]) -> None:
    assert all(math.isfinite(value) for value in scores(Y, np.array(probability)).values())


def test_the_confusion_matrix_counts_every_row_once() -> None:
    assert confusion(Y, P) == {"threshold": 0.5, "tn": 2, "fp": 0, "fn": 1, "tp": 1}
    assert confusion(np.ones(4, dtype=int), P) == {"threshold": 0.5, "tn": 0, "fp": 0, "fn": 3, "tp": 1}


def test_a_probability_at_the_threshold_is_positive() -> None:
    assert confusion(np.array([1]), np.array([0.5]))["tp"] == 1
    assert scores(np.array([1]), np.array([0.5]))["accuracy"] == 1.0


def test_the_classification_report_has_both_classes_even_if_one_is_never_predicted() -> None:
    report = classification_report(Y, np.zeros(4), ("legitimate", "fraud"))
    assert report["fraud"]["precision"] == 0.0
    assert (report["legitimate"]["recall"], report["legitimate"]["support"]) == (1.0, 2.0)
    assert "macro avg" in report


def test_thinned_curves_keep_their_ends_and_nearly_their_area() -> None:
    y, probability = noisy(5_000)
    made = curves(y, probability)
    roc, pr = made["roc"], made["pr"]
    assert len(roc["fpr"]) == len(roc["tpr"]) == CURVE_POINTS
    assert len(pr["recall"]) == len(pr["precision"]) == CURVE_POINTS
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    area = float(np.trapezoid(roc["tpr"], roc["fpr"]))
    assert area == pytest.approx(sk.roc_auc_score(y, probability), abs=0.005)


def test_short_curves_are_kept_whole() -> None:
    fpr, tpr, _ = sk.roc_curve(Y, P)
    assert curves(Y, P)["roc"] == {"fpr": fpr.tolist(), "tpr": tpr.tolist()}
