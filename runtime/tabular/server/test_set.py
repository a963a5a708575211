"""The server's own test set, which no client holds, and what a model scores on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from runtime.contract import ExitCode, FedstackError
from runtime.tabular import metrics, models, task_scores, weighted_scores
from runtime.tabular.columns.columns import Task
from runtime.tabular.data.dataset import Dataset, load_csv
from runtime.tabular.data.moments import Scaler
from runtime.tabular.data.schema import schema_of
from runtime.tabular.operating_point import FIRST_SHARES, Aim, calibration, operating_point, precision_at
from runtime.tabular.uncertainty import LEVEL


class TestSet:
    """Score models on the rows that only the server has."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, rows: Dataset, model: models.Model) -> None:
        if rows.schema.task not in model.tasks:
            can = ", ".join(name for name in models.names() if rows.schema.task in models.load(name).tasks)
            raise FedstackError(
                ExitCode.CONFIG,
                f"The model that was asked for cannot learn the task {rows.schema.task} of the schema.",
                f"Leave out --model, or give one that can: {can}.",
            )
        self.rows, self._model = rows, model.of(rows.schema)

    @classmethod
    def load(cls, path: Path, model: str) -> TestSet:
        """Load and check the test set; its columns are what a schema.json beside it says."""
        return cls(load_csv(path, schema_of(path)), models.load(model))

    @property
    def score_kinds(self) -> Mapping[str, task_scores.Score]:
        """The scores of the task, by name."""
        return task_scores.SCORES[self.rows.schema.task]

    def digest(self) -> str:
        """Return the SHA-256 of what was read: columns, features and labels."""
        digest = hashlib.sha256(self.rows.schema.digest().encode())
        for part in (self.rows.x, self.rows.y, self.rows.exposure):
            if part is not None:
                digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def scores(self, arrays: models.Arrays, scaler: Scaler) -> dict[str, float]:
        """Return the scores of a global model that its task has."""
        return task_scores.scores(self.rows, self._predicted(arrays, scaler))

    def verdict(
        self, arrays: models.Arrays, scaler: Scaler, aim: Aim | None = None, seed: int = 0
    ) -> dict[str, Any]:
        """Return all that the report says about the final model.

        Parameters
        ----------
        aim, seed
            What a threshold is chosen for, if for anything, and of the halves that choose and judge it.
        """
        probability = self._predicted(arrays, scaler)
        told: dict[str, Any] = {
            "final": task_scores.final_scores(self.rows, probability),
            "intervals": weighted_scores.intervals(self.rows, probability),
            "interval_level": LEVEL,
        }
        if self.rows.schema.task is not Task.BINARY:
            return told
        if aim is not None:
            told["operating_point"] = operating_point(aim, self.rows.y, probability, seed)
        return {
            **told,
            "curves": {"federated": metrics.curves(self.rows.y, probability)},
            "calibration": {"federated": calibration(self.rows.y, probability)},
            "precision_at": precision_at(self.rows.y, probability, FIRST_SHARES),
            "confusion": metrics.confusion(self.rows.y, probability),
            "classification_report": metrics.classification_report(
                self.rows.y, probability, self.rows.schema.classes
            ),
        }

    def facts(self) -> dict[str, Any]:
        """Return how many rows there are, how many of them are positive, and what they are called."""
        schema = self.rows.schema
        facts: dict[str, Any] = {
            "task": schema.task.value,
            "test_samples": len(self.rows),
            "rows_called": schema.rows,
            "schema": schema.name,
        }
        if schema.of_classes:
            facts["classes"] = list(schema.classes)
        if schema.task is Task.BINARY:
            facts["test_positives"] = int(self.rows.y.sum())
        return facts

    def pipeline(self, arrays: models.Arrays, scaler: Scaler) -> Pipeline:
        """Return a global model as the Pipeline that takes raw rows."""
        return models.as_pipeline(self._model, arrays, scaler, self.rows.schema)

    def _predicted(self, arrays: models.Arrays, scaler: Scaler) -> npt.NDArray[np.float64]:
        return models.predict(self._model, arrays, scaler, self.rows)
