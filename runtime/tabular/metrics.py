"""How good a model is on rows with known labels: scores, curves and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn import metrics

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

THRESHOLD: Final = 0.5
CURVE_POINTS: Final = 200


def scores(y: Labels, probability: Probabilities) -> dict[str, float]:
    """Score probabilities of the positive label.

    Returns
    -------
    dict
        `roc_auc`, `pr_auc` (average precision), `log_loss` (nats) and `accuracy` at threshold 0.5. Where
        only one label is present the two areas are NaN: they are not defined.
    """
    both = len(np.unique(y)) == 2
    return {
        "roc_auc": float(metrics.roc_auc_score(y, probability)) if both else float("nan"),
        "pr_auc": float(metrics.average_precision_score(y, probability)) if both else float("nan"),
        "log_loss": log_loss(y, probability),
        "accuracy": float(metrics.accuracy_score(y, probability >= THRESHOLD)),
    }


def with_enough_rows(told: dict[str, float], y: Labels, least: int) -> dict[str, float]:
    """Return scores of which none is of too few rows: NaN, and the areas where a label has too few."""
    few = (
        {"roc_auc", "pr_auc", "macro_auc", "concordance"}
        if np.bincount(y, minlength=2).min() < least
        else set()
    )
    few = set(told) if len(y) < least else few
    return {name: float("nan") if name in few else score for name, score in told.items()}


def log_loss(y: Labels, probability: Probabilities) -> float:
    """Return the mean log loss in nats."""
    return float(metrics.log_loss(y, probability, labels=[0, 1]))


def brier(y: Labels, probability: Probabilities) -> float:
    """Return the mean squared distance of the probability from the label (Brier, 1950)."""
    return float(np.mean((np.asarray(probability) - y) ** 2))


def curves(y: Labels, probability: Probabilities) -> dict[str, dict[str, list[float]]]:
    """Return the ROC and precision-recall curves, thinned to at most 200 points each."""
    fpr, tpr, _ = metrics.roc_curve(y, probability)
    precision, recall, _ = metrics.precision_recall_curve(y, probability)
    return {
        "roc": {"fpr": _thin(fpr), "tpr": _thin(tpr)},
        "pr": {"recall": _thin(recall), "precision": _thin(precision)},
    }


def confusion(y: Labels, probability: Probabilities) -> dict[str, float]:
    """Count what the threshold gets right and wrong."""
    tn, fp, fn, tp = metrics.confusion_matrix(y, probability >= THRESHOLD, labels=[0, 1]).ravel()
    return {"threshold": THRESHOLD, "tn": int(tn), "fp": int(fp), "fn": int(fn), "tp": int(tp)}


def classification_report(y: Labels, probability: Probabilities, classes: Sequence[str]) -> dict[str, Any]:
    """Return scikit-learn's classification report as a dictionary."""
    report: dict[str, Any] = metrics.classification_report(
        y,
        probability >= THRESHOLD,
        labels=[0, 1],
        target_names=list(classes),
        output_dict=True,
        zero_division=0,
    )
    return report


def _thin(values: npt.NDArray[np.float64]) -> list[float]:
    picked = np.unique(np.linspace(0, len(values) - 1, min(len(values), CURVE_POINTS)).round().astype(int))
    return [round(float(value), 5) for value in values[picked]]
