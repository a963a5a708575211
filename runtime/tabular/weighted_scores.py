"""The scores of every task as functions of how often each row was drawn: what a bootstrap needs of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from scipy.special import xlogy

from runtime.tabular.columns.columns import Task
from runtime.tabular.columns.rare import time_cells
from runtime.tabular.concordance import pairs_of_each
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.task_scores import unit_deviance
from runtime.tabular.uncertainty import Bootstrap, Floats, Ranking, Scores, means

TINY: Final = float(np.finfo(np.float64).eps)


def of(rows: Dataset, predicted: Floats) -> Scores:
    """Return what scores resamples of rows of which a model said `predicted`.

    Left out is the calibration error of several classes: it is a sum of absolute differences, which
    resampling makes larger, so that its interval would lie above it.
    """
    return _OF[rows.schema.task](rows, np.asarray(predicted, dtype=np.float64))


def intervals(rows: Dataset, predicted: Floats) -> dict[str, dict[str, float]]:
    """Return the 95 % interval of each score that has one."""
    return Bootstrap(len(rows)).intervals(of(rows, predicted))


def _binary(rows: Dataset, predicted: Floats) -> Scores:
    ranking, positive = Ranking(rows.y == 1, predicted), rows.y == 1
    inside = np.clip(predicted, TINY, 1 - TINY)
    loss = -np.where(positive, np.log(inside), np.log1p(-inside))
    brier, right = (predicted - rows.y) ** 2, (predicted >= 0.5) == positive

    def scores(weights: Floats) -> dict[str, Floats]:
        found = [*ranking.areas(weights), *means(weights, loss, brier, right)]
        return dict(zip(("roc_auc", "pr_auc", "log_loss", "brier", "accuracy"), found, strict=True))

    return scores


def _multiclass(rows: Dataset, predicted: Floats) -> Scores:
    rankings = [Ranking(rows.y == one, predicted[:, one]) for one in range(predicted.shape[1])]
    loss = -np.log(np.clip(predicted[np.arange(len(rows)), rows.y], TINY, 1 - TINY))
    right = predicted.argmax(axis=1) == rows.y

    def scores(weights: Floats) -> dict[str, Floats]:
        areas = np.array([ranking.areas(weights)[0] for ranking in rankings])
        known = np.isfinite(areas)
        with np.errstate(invalid="ignore"):
            macro = np.where(known, areas, 0).sum(axis=0) / known.sum(axis=0)
        found = [macro, *means(weights, loss, right)]
        return dict(zip(("macro_auc", "log_loss", "accuracy"), found, strict=True))

    return scores


def _linear(rows: Dataset, predicted: Floats) -> Scores:
    away, centred = rows.y - predicted, rows.y - rows.y.mean()
    least = TINY * float((centred**2).max(initial=0.0))

    def scores(weights: Floats) -> dict[str, Floats]:
        square, absolute, mean, second = means(weights, away**2, np.abs(away), centred, centred**2)
        spread = second - mean**2
        with np.errstate(invalid="ignore", divide="ignore"):
            r2 = np.where(spread > least, 1 - square / spread, np.nan)
        return {"r2": r2, "rmse": np.sqrt(square), "mean_absolute_error": absolute}

    return scores


def _poisson(rows: Dataset, rate: Floats) -> Scores:
    exposure = np.ones(len(rows)) if rows.exposure is None else rows.exposure
    expected = exposure * rate
    loss, logs = unit_deviance(rows.y, expected), xlogy(rows.y, rows.y / exposure)

    def scores(weights: Floats) -> dict[str, Floats]:
        deviance, own, counted, over, said = means(weights, loss, logs, rows.y, exposure, expected)
        with np.errstate(invalid="ignore", divide="ignore"):
            plain = 2 * (own - xlogy(counted, counted / over))
            d2 = np.where(plain > TINY, 1 - deviance / plain, np.nan)
            calibration = np.where(counted > 0, said / counted, np.nan)
        return {"d2": d2, "deviance": deviance, "calibration": calibration}

    return scores


def _cox(rows: Dataset, hazard: Floats) -> Scores:
    """Concordance is a ratio of sums over pairs: it is resampled by its linear part (Hajek's projection).

    The loss is Breslow's, on the schema's grid.
    """
    right, pairs = pairs_of_each(rows.y, hazard)
    ends, event = time_cells(rows.y, rows.schema.grid), rows.y > 0
    event = event & (ends < len(rows.schema.grid))
    eta = np.log(np.maximum(hazard, 1e-300))
    cells = np.eye(len(rows.schema.grid) + 1)[ends]
    risk, deaths = cells * np.exp(eta)[:, None], cells * event[:, None]

    def scores(weights: Floats) -> dict[str, Floats]:
        linear = 2 * weights - 1
        at_risk = np.cumsum((weights @ risk)[:, ::-1], axis=1)[:, ::-1]
        died = weights @ deaths
        with np.errstate(invalid="ignore", divide="ignore"):
            of_pairs = linear @ pairs
            ordered = np.where(of_pairs > 0, np.clip(linear @ right / of_pairs, 0, 1), np.nan)
            logs = np.where(died > 0, died * np.log(at_risk), 0).sum(axis=1)
            loss = (logs - weights @ (eta * event)) / died.sum(axis=1)
        return {"concordance": ordered, "partial_loss": loss}

    return scores


_OF: Final[Mapping[Task, Callable[[Dataset, Floats], Scores]]] = {
    Task.BINARY: _binary,
    Task.MULTICLASS: _multiclass,
    Task.LINEAR: _linear,
    Task.POISSON: _poisson,
    Task.COX: _cox,
}
