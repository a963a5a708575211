"""The server's own test set, which no client holds, and what a model scores on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.task import metrics, model
from runtime.task.data import Dataset, load_csv
from runtime.task.moments import Scaler
from runtime.task.schema import CMS


class TestSet:
    """Score models on the rows that only the server has."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, rows: Dataset) -> None:
        self.rows = rows

    @classmethod
    def load(cls, path: Path) -> TestSet:
        """Load and check the test set."""
        return cls(load_csv(path, CMS))

    def scores(self, arrays: model.Arrays, scaler: Scaler) -> dict[str, float]:
        """Return ROC-AUC, PR-AUC, log loss and accuracy of a global model."""
        return metrics.scores(self.rows.y, self._probabilities(arrays, scaler))

    def verdict(self, arrays: model.Arrays, scaler: Scaler) -> dict[str, Any]:
        """Return all that the report says about the final model."""
        probability = self._probabilities(arrays, scaler)
        return {
            "final": metrics.scores(self.rows.y, probability),
            "curves": {"federated": metrics.curves(self.rows.y, probability)},
            "confusion": metrics.confusion(self.rows.y, probability),
            "classification_report": metrics.classification_report(self.rows.y, probability),
        }

    def facts(self) -> dict[str, int]:
        """Return how many rows there are and how many of them are positive."""
        return {"test_samples": len(self.rows), "test_positives": int(self.rows.y.sum())}

    def _probabilities(self, arrays: model.Arrays, scaler: Scaler) -> npt.NDArray[np.float64]:
        probability: npt.NDArray[np.float64] = model.pipeline(arrays, scaler).predict_proba(self.rows.x)[:, 1]
        return probability
