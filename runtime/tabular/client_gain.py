"""What federating gives one silo: the common model and one of its own, on rows that it keeps back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sklearn.pipeline import Pipeline

from runtime.tabular import models, task_scores, weighted_scores
from runtime.tabular.columns.columns import Task
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.preparation import Prepared
from runtime.tabular.task_scores import SCORES, lead_of
from runtime.tabular.uncertainty import Bootstrap, difference
from runtime.updates import MAX_SAMPLES, UpdateRefusedError

MODELS: Final = ("local_only", "federated")
ENDS: Final = ("gain.low", "gain.high")
"""The 95 % interval of the federated model's first score less that of the silo's, on the same resamples."""


def names_of(task: Task) -> frozenset[str]:
    """Return what a client tells, as flat as Flower's metrics are; positives of two labels only."""
    counts = {"rows", "positives"} if task is Task.BINARY else {"rows"}
    return frozenset(counts | undefined_of(task))


def undefined_of(task: Task) -> frozenset[str]:
    """Return what is NaN where a hold-out has too few rows, or too few of a label."""
    return frozenset({f"{model}.{score}" for model in MODELS for score in SCORES[task]} | set(ENDS))


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
        A number for each of the task's `names_of`; without rows every score is NaN, with one label the
        areas are.
    """
    held = prepared.validation
    task, told = held.schema.task, _counts(held)
    if not len(held):
        return told | dict.fromkeys(sorted(undefined_of(task)), math.nan)
    own = models.fit_alone(kind, prepared.train, how, rounds)
    said = [models.predict_raw(kind, fitted, held) for fitted in (own, federated)]
    for name, predicted in zip(MODELS, said, strict=True):
        told |= {f"{name}.{score}": value for score, value in task_scores.scores(held, predicted).items()}
    alone, ours = Bootstrap(len(held)).each([weighted_scores.of(held, predicted) for predicted in said])
    ends = difference(ours[lead_of(task)], alone[lead_of(task)])
    return told | {f"gain.{end}": math.nan if value is None else value for end, value in ends.items()}


def _counts(held: Dataset) -> dict[str, float]:
    positives = {"positives": int(held.y.sum())} if held.schema.task is Task.BINARY else {}
    return {"rows": len(held), **positives}


def with_enough_rows(told: Mapping[str, float], held: Dataset, least: int) -> dict[str, float]:
    """Return the figures as they may leave: none where it has few rows, or some, but few, of a kind.

    Kinds are the labels; rows with an event and censored ones; rows that counted nothing and those that did.
    """
    task = held.schema.task
    kinds = held.y > 0 if task in (Task.COX, Task.POISSON) else held.strata()
    fewest = int(np.unique(kinds, return_counts=True)[1].min(initial=len(held)))
    if len(held) >= least and fewest >= least:
        return dict(told)
    nothing = dict.fromkeys(sorted(names_of(task) - undefined_of(task)), 0)
    return nothing | dict.fromkeys(sorted(undefined_of(task)), math.nan)


def nested(told: Mapping[str, Any], task: Task = Task.BINARY) -> dict[str, Any]:
    """Return what a client told as report.json has it: scores by model, None for those not defined.

    Returns
    -------
    dict
        `rows` (and `positives`); `local_only` and `federated`, each with its scores; and `gain`: the
        `score` that it is told in, the `difference` and its interval, `low` to `high`.

    Raises
    ------
    UpdateRefusedError
        For numbers that no hold-out can have.
    """
    made: dict[str, Any] = _checked_counts(told)
    for model in MODELS:
        made[model] = {score: _score(told[f"{model}.{score}"], score, task) for score in SCORES[task]}
    lead = lead_of(task)
    alone, federated = (made[model][lead] for model in MODELS)
    low, high = (None if math.isnan(told[end]) else float(told[end]) for end in ENDS)
    if (low is None) != (high is None) or (low is not None and high is not None and not low <= high):
        raise UpdateRefusedError(f"the interval of its gain is {told[ENDS[0]]!r} to {told[ENDS[1]]!r}")
    known = alone is not None and federated is not None
    made["gain"] = {
        "score": lead,
        "difference": federated - alone if known else None,
        "low": low,
        "high": high,
    }
    return made


def _checked_counts(told: Mapping[str, Any]) -> dict[str, Any]:
    rows, positives = told["rows"], told.get("positives", 0)
    counted = type(rows) is int and type(positives) is int
    if not (counted and 0 <= positives <= rows <= MAX_SAMPLES):
        raise UpdateRefusedError(f"its hold-out has {rows!r} rows, {positives!r} of them positive")
    return {name: told[name] for name in ("rows", "positives") if name in told}


def _score(value: float, score: str, task: Task) -> float | None:
    if math.isnan(value):
        return None
    kind = SCORES[task][score]
    if not kind.least <= value <= kind.largest:
        raise UpdateRefusedError(f"the {score} is {value!r}, expected {kind.least:g} to {kind.largest:g}")
    return float(value)
