"""How good a model is on rows with known labels, in the scores of their task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy
from sklearn import metrics as sklearn

from runtime.tabular import metrics
from runtime.tabular.columns.columns import Task
from runtime.tabular.columns.rare import time_cells
from runtime.tabular.concordance import concordance
from runtime.tabular.data.dataset import Dataset

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """What a score is called, whether less is better, and what it can be."""

    title: str
    lower: bool = False
    largest: float = 1.0
    least: float = 0.0


SCORES: Final[Mapping[Task, Mapping[str, Score]]] = {
    Task.BINARY: {
        "roc_auc": Score("ROC-AUC"),
        "pr_auc": Score("PR-AUC"),
        "log_loss": Score("Log loss", lower=True, largest=1e6),
        "accuracy": Score("Accuracy"),
    },
    Task.MULTICLASS: {
        "macro_auc": Score("Macro ROC-AUC"),
        "log_loss": Score("Log loss", lower=True, largest=1e6),
        "accuracy": Score("Accuracy"),
        "calibration_error": Score("Calibration error", lower=True),
    },
    Task.LINEAR: {
        "r2": Score("R²", least=-1e300),
        "rmse": Score("RMSE", lower=True, largest=1e300),
        "mean_absolute_error": Score("Mean absolute error", lower=True, largest=1e300),
    },
    Task.POISSON: {
        "d2": Score("Deviance explained", least=-1e300),
        "deviance": Score("Mean deviance", lower=True, largest=1e300),
        "calibration": Score("Predicted / observed", largest=1e300),
    },
    Task.COX: {
        "concordance": Score("Concordance"),
        "partial_loss": Score("Partial log loss an event", lower=True, largest=1e6),
    },
}
"""The scores of each task, the one to look at first in front."""

LOSSES: Final = ("log_loss", "rmse", "deviance", "partial_loss")
"""That by which the best round is told, whichever a task has."""

LOSS_OF: Final = {task: next(name for name in LOSSES if name in scores) for task, scores in SCORES.items()}
"""The loss of each task."""

BINS: Final = 10


def lead_of(task: Task) -> str:
    """Return the score of a task to look at first."""
    return next(iter(SCORES[task]))


def final_scores(rows: Dataset, predicted: Values) -> dict[str, float]:
    """Score a final model: what each round is scored by, and of two labels the Brier score as well."""
    brier = {"brier": metrics.brier(rows.y, predicted)} if rows.schema.task is Task.BINARY else {}
    return {**scores(rows, predicted), **brier}


def scores(rows: Dataset, predicted: Values) -> dict[str, float]:
    """Score what a model says of rows; NaN where a score is not defined."""
    found: dict[str, float] = _OF[rows.schema.task](rows, predicted)
    return found


def _binary(rows: Dataset, predicted: Values) -> dict[str, float]:
    return metrics.scores(rows.y, predicted)


def _multiclass(rows: Dataset, predicted: Values) -> dict[str, float]:
    """Macro ROC-AUC is the mean over classes of each against the rest, of those that some rows have."""
    classes = np.arange(predicted.shape[1])
    areas = [
        float(sklearn.roc_auc_score(rows.y == one, predicted[:, one]))
        for one in classes
        if 0 < (rows.y == one).sum() < len(rows)
    ]
    called = predicted.argmax(axis=1)
    return {
        "macro_auc": float(np.mean(areas)) if areas else float("nan"),
        "log_loss": float(sklearn.log_loss(rows.y, predicted, labels=classes)),
        "accuracy": float((called == rows.y).mean()),
        "calibration_error": _calibration_error(predicted.max(axis=1), called == rows.y),
    }


def _calibration_error(confidence: Values, right: npt.NDArray[np.bool_]) -> float:
    """Return by how much confidence and share of right calls differ, over ten bins (Naeini et al., 2015)."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    sums = [abs(float((confidence - right)[bins == one].sum())) for one in range(BINS)]
    return sum(sums) / len(confidence)


def _linear(rows: Dataset, predicted: Values) -> dict[str, float]:
    away = rows.y - predicted
    spread = float(((rows.y - rows.y.mean()) ** 2).sum())
    return {
        "r2": 1 - float((away**2).sum()) / spread if spread > 0 else float("nan"),
        "rmse": float(np.sqrt((away**2).mean())),
        "mean_absolute_error": float(np.abs(away).mean()),
    }


def _poisson(rows: Dataset, rate: Values) -> dict[str, float]:
    exposure = np.ones(len(rows)) if rows.exposure is None else rows.exposure
    deviance = _deviance(rows.y, exposure * rate)
    plain = _deviance(rows.y, exposure * rows.y.sum() / exposure.sum())
    observed = float(rows.y.sum())
    return {
        "d2": 1 - deviance / plain if plain > 0 else float("nan"),
        "deviance": deviance,
        "calibration": float((exposure * rate).sum()) / observed if observed else float("nan"),
    }


def _deviance(y: Values, mean: Values) -> float:
    return float(unit_deviance(y, mean).mean())


def unit_deviance(y: Values, mean: Values) -> Values:
    """Return each row's part of the Poisson deviance."""
    mean = np.maximum(mean, 1e-300)
    return np.asarray(2 * (xlogy(y, y / mean) - y + mean))


def _cox(rows: Dataset, hazard: Values) -> dict[str, float]:
    return {
        "concordance": concordance(rows.y, hazard),
        "partial_loss": _partial_loss(rows, np.log(np.maximum(hazard, 1e-300))),
    }


def _partial_loss(rows: Dataset, eta: Values) -> float:
    """Return Breslow's negative log partial likelihood an event, on the schema's grid."""
    ends, event = time_cells(rows.y, rows.schema.grid), rows.y > 0
    event = event & (ends < len(rows.schema.grid))
    if not event.any():
        return float("nan")
    cells = len(rows.schema.grid) + 1
    at_risk = np.cumsum(np.bincount(ends, np.exp(eta), cells)[::-1])[::-1]
    return float((np.log(at_risk[ends[event]]) - eta[event]).mean())


_OF: Final[Mapping[Task, Any]] = {
    Task.BINARY: _binary,
    Task.MULTICLASS: _multiclass,
    Task.LINEAR: _linear,
    Task.POISSON: _poisson,
    Task.COX: _cox,
}
