"""What only a rehearsal can know: how good pooling the data would be, and each client alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from rehearsal.data import Silos
from runtime.server import report
from runtime.server.settings import RunSettings
from runtime.task import metrics
from runtime.task.data import Dataset
from runtime.task.model import Fit, fit_alone
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
    how = Fit(c=settings.c, class_weight=settings.class_weight)
    test = silos.test
    # The rows that the clients train on: each keeps some back to validate with, and may add SMOTE's.
    own = {
        name: prepare(silo, validation=settings.validation, smote=settings.smote, seed=settings.seed).train
        for name, silo in silos.silos.items()
    }
    together = Dataset(
        np.concatenate([part.x for part in own.values()]), np.concatenate([part.y for part in own.values()])
    )
    pooled = fit_alone(together, how).predict_proba(test.x)[:, 1]
    made["pooled"] = metrics.scores(test.y, pooled)
    made.setdefault("curves", {})["pooled"] = metrics.curves(test.y, pooled)
    made["local_only"] = {
        name: metrics.scores(test.y, fit_alone(part, how).predict_proba(test.x)[:, 1])
        for name, part in own.items()
    }
    known = made["seconds"] | seconds
    made["seconds"] = {phase: known[phase] for phase in PHASES if phase in known}
    report.save(made, out)
    return made


def add_seconds(out: Path, seconds: dict[str, float]) -> None:
    """Add phases that came after the baselines."""
    made: dict[str, Any] = json.loads((out / "report.json").read_text())
    known = made["seconds"] | seconds
    made["seconds"] = {phase: known[phase] for phase in PHASES if phase in known}
    report.save(made, out)
