"""What only a rehearsal can know: how good pooling the data would be, and each client alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import joblib
from sklearn.pipeline import Pipeline

from rehearsal.data import Silos
from runtime.client.privacy_policy import LEAST_EFFECTIVE
from runtime.contract import Updates
from runtime.server.report import app_report, files
from runtime.tabular import metrics, models, task_scores, weighted_scores
from runtime.tabular.client_gain import measure, nested
from runtime.tabular.columns.columns import Task
from runtime.tabular.data.dataset import Dataset, together
from runtime.tabular.data.preparation import Prepared, prepare
from runtime.tabular.operating_point import calibration
from runtime.tabular.report import page
from runtime.tabular.server.settings import RunSettings
from runtime.tabular.task_scores import Values
from runtime.tabular.uncertainty import Bootstrap, difference

PHASES: Final = ("setup", "deploy", "join", "prepare", "rounds", "evaluate", "app", "destroy")
"""A run's phases in the order they happen."""


def add(out: Path, silos: Silos, seconds: dict[str, float]) -> dict[str, Any]:
    """Add the baselines, with the run's own model options, and the rehearsal's phases to the report.

    Returns
    -------
    dict
        The report as it now stands.
    """
    made: dict[str, Any] = json.loads((out / "report.json").read_text())
    settings = RunSettings.model_validate_json((out / "settings.json").read_text())
    how = models.Fit(
        iterations=settings.iterations,
        c=settings.strength,
        class_weight=settings.class_weight,
        seed=settings.seed,
    )
    kind, rounds = models.load(settings.model), max(1, len(made["rounds"]))
    fewest = math.ceil(LEAST_EFFECTIVE) if settings.updates is Updates.SUMS else 1
    test = silos.test
    # What the clients make of their rows: each keeps some back to validate with, and may add SMOTE's.
    prepared = {
        name: prepare(
            silo, validation=settings.validation, smote=settings.smote, seed=settings.seed, fewest=fewest
        )
        for name, silo in silos.silos.items()
    }
    own = {name: one.train for name, one in prepared.items()}
    together_fitted = models.fit_alone(kind, together(list(own.values())), how, rounds)
    federated = None
    if (out / "model.joblib").exists():
        federated = joblib.load(out / "model.joblib")  # this rehearsal's own
        add_gains(
            made,
            {name: measure(one, federated, kind, how, rounds) for name, one in prepared.items()},
            test.schema.task,
        )
    add_pooled(made["clients"], kind, together_fitted, prepared)
    pooled = models.predict_raw(kind, together_fitted, test)
    alone = {
        name: models.predict_raw(kind, models.fit_alone(kind, part, how, rounds), test)
        for name, part in own.items()
    }
    made["pooled"] = task_scores.final_scores(test, pooled)
    if test.schema.task is Task.BINARY:
        made.setdefault("curves", {})["pooled"] = metrics.curves(test.y, pooled)
        made.setdefault("calibration", {})["pooled"] = calibration(test.y, pooled)
    made["local_only"] = {name: task_scores.final_scores(test, said) for name, said in alone.items()}
    if federated is not None and made["final"]:
        made["compared"] = compared(test, models.predict_raw(kind, federated, test), pooled, alone)
    _save(made, seconds, out)
    return made


def compared(test: Dataset, federated: Values, pooled: Values, alone: Mapping[str, Values]) -> dict[str, Any]:
    """Return by how much the federated model differs from pooling and from each client alone.

    All are scored on the same resamples of the test set, so that luck of the rows, which all share,
    drops out.

    Parameters
    ----------
    federated, pooled, alone
        What each model says of the test set.

    Returns
    -------
    dict
        `pooled`, and `local_only` by client: of the task's first score and of its loss the difference,
        federated minus the other, with its 95 % interval; and how many `resamples` there were.
    """
    names = sorted({task_scores.lead_of(test.schema.task), task_scores.LOSS_OF[test.schema.task]})
    bootstrap, others = Bootstrap(len(test)), [pooled, *alone.values()]
    ours, *drawn = bootstrap.each([weighted_scores.of(test, said) for said in (federated, *others)])
    own = task_scores.scores(test, federated)
    against = []
    for said, theirs in zip(others, drawn, strict=True):
        whole = task_scores.scores(test, said)
        against.append(
            {
                name: {"difference": own[name] - whole[name], **difference(ours[name], theirs[name])}
                for name in names
            }
        )
    return {
        "resamples": bootstrap.resamples,
        "pooled": against[0],
        "local_only": dict(zip(alone, against[1:], strict=True)),
    }


def add_gains(made: dict[str, Any], known: Mapping[str, Mapping[str, float]], task: Task) -> None:
    """Add each client's gain where the clients told the server none: they keep the same in value.json."""
    if made["privacy"]["differential_privacy"] or any(entry["value"] for entry in made["clients"]):
        return
    made["value_known_to"] = "rehearsal"
    for entry in made["clients"]:
        if known[entry["name"]]["rows"]:
            entry["value"] = nested(known[entry["name"]], task)


def add_pooled(
    clients: list[dict[str, Any]], kind: models.Model, pooled: Pipeline, prepared: Mapping[str, Prepared]
) -> None:
    """Add what the pooled model scores on each client's own hold-out to what that client says of it."""
    for entry in clients:
        held = prepared[entry["name"]].validation
        if entry["value"] and len(held):
            entry["value"]["pooled"] = task_scores.scores(held, models.predict_raw(kind, pooled, held))


def add_seconds(out: Path, seconds: dict[str, float]) -> None:
    """Add phases that came after the baselines."""
    made: dict[str, Any] = json.loads((out / "report.json").read_text())
    _save(made, seconds, out)


def _save(made: dict[str, Any], seconds: Mapping[str, float], out: Path) -> None:
    """Write a report with more phases, and the page of its kind: the built-in app's, or any other app's."""
    known = made["seconds"] | seconds
    made["seconds"] = {phase: known[phase] for phase in PHASES if phase in known}
    render = app_report.render if "app" in made else page.render
    files.save(made, render(made), out)
