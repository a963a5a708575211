"""What federating gives one silo: the common model and one of its own, on rows that it keeps back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from sklearn.pipeline import Pipeline

from runtime.tabular import metrics, models
from runtime.tabular.data.preparation import Prepared
from runtime.updates import MAX_SAMPLES, UpdateRefusedError

SCORES: Final = ("roc_auc", "pr_auc", "log_loss", "accuracy")
MODELS: Final = ("local_only", "federated")
NAMES: Final = frozenset({"rows", "positives"} | {f"{model}.{score}" for model in MODELS for score in SCORES})
"""What a client tells, as flat as Flower's metrics are."""

UNDEFINED: Final = NAMES - {"rows", "positives"}
"""Scores that are NaN where a hold-out has too few rows of a label."""

LARGEST: Final = {"roc_auc": 1.0, "pr_auc": 1.0, "accuracy": 1.0, "log_loss": 1e6}


def measure(
    prepared: Prepared, federated: Pipeline, kind: models.Model, how: models.Fit, rounds: int
) -> dict[str, float]:
    """Score the federated model, and one fitted on the silo alone, on the rows that the silo keeps back.

    Parameters
    ----------
    federated
        The global model that takes raw rows.
    how, rounds
        How the model of the silo's own is fitted: as long as the federation's was.

    Returns
    -------
    dict
        A number for each of `NAMES`; without rows every score is NaN, with one label the two areas are.
    """
    held = prepared.validation
    told: dict[str, float] = {"rows": len(held), "positives": int(held.y.sum())}
    if not len(held):
        return told | dict.fromkeys(sorted(NAMES - told.keys()), math.nan)
    own = models.fit_alone(kind, prepared.train, how, rounds)
    for name, fitted in zip(MODELS, (own, federated), strict=True):
        scores = metrics.scores(held.y, models.predict_raw(kind, fitted, held))
        told |= {f"{name}.{score}": scores[score] for score in SCORES}
    return told


def with_enough_rows(told: Mapping[str, float], least: int) -> dict[str, float]:
    """Return the figures as they may leave: none where the hold-out has some, but few, rows of a label."""
    rows, positives = told["rows"], told["positives"]
    if rows >= least and not any(0 < count < least for count in (positives, rows - positives)):
        return dict(told)
    return {"rows": 0, "positives": 0} | dict.fromkeys(sorted(NAMES - {"rows", "positives"}), math.nan)


def nested(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client told as report.json has it: scores by model, None for those not defined.

    Raises
    ------
    UpdateRefusedError
        For numbers that no hold-out can have.
    """
    rows, positives = told["rows"], told["positives"]
    counted = type(rows) is int and type(positives) is int
    if not (counted and 0 <= positives <= rows <= MAX_SAMPLES):
        raise UpdateRefusedError(f"its hold-out has {rows!r} rows, {positives!r} of them positive")
    made: dict[str, Any] = {"rows": rows, "positives": positives}
    for model in MODELS:
        made[model] = {score: _score(told[f"{model}.{score}"], score) for score in SCORES}
    return made


def _score(value: float, score: str) -> float | None:
    if math.isnan(value):
        return None
    if not 0 <= value <= LARGEST[score]:
        raise UpdateRefusedError(f"the {score} is {value!r}, expected 0 to {LARGEST[score]:g}")
    return float(value)
