"""What only a rehearsal can know: how good pooling the data would be, and each client alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rehearsal.data import Silos
from runtime.server import report
from runtime.server.settings import RunSettings
from runtime.task import metrics, models
from runtime.task.data import together
from runtime.task.preparation import prepare

PHASES: Final = ("setup", "deploy", "join", "prepare", "rounds", "evaluate", "destroy")
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
        iterations=settings.iterations, c=settings.c, class_weight=settings.class_weight, seed=settings.seed
    )
    kind, rounds = models.load(settings.model), max(1, len(made["rounds"]))
    test = silos.test
    # The rows that the clients train on: each keeps some back to validate with, and may add SMOTE's.
    own = {
        name: prepare(silo, validation=settings.validation, smote=settings.smote, seed=settings.seed).train
        for name, silo in silos.silos.items()
    }
    pooled = models.fit_alone(kind, together(list(own.values())), how, rounds * len(own)).predict_proba(
        test.x
    )
    made["pooled"] = metrics.scores(test.y, pooled[:, 1])
    made.setdefault("curves", {})["pooled"] = metrics.curves(test.y, pooled[:, 1])
    made["local_only"] = {
        name: metrics.scores(test.y, models.fit_alone(kind, part, how, rounds).predict_proba(test.x)[:, 1])
        for name, part in own.items()
    }
    known = made["seconds"] | seconds
    made["seconds"] = {phase: known[phase] for phase in PHASES if phase in known}
    report.save(made, out)
    return made
