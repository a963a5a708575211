"""Boosted trees: grown over all silos at once, or collected from each (bagging, the extra `trees`)."""

from __future__ import annotations

import math
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.class_weight import compute_sample_weight

from runtime.tabular.models.base import Arrays, Fit, Model
from runtime.tabular.trees import ensemble, pooled

_WEIGHTS: Final = {"none": None, "balanced": "balanced"}
NOTHING_KNOWN: Final = 0.1
"""The probability of every row before there is a tree."""


class Trees(Model):
    """Of `histogram`: the arrays of runtime/tabular/trees/ensemble.py; of bagging: `0`, xgboost's JSON."""

    strategies: ClassVar[frozenset[str]] = frozenset({"histogram", "fedxgbbagging"})
    best_strategy: ClassVar[str] = "histogram"
    best_plain_strategy: ClassVar[str] = "fedxgbbagging"
    fixed_size: ClassVar[bool] = False

    def initial(self, features: int, seed: int) -> Arrays:  # noqa: ARG002 - nothing is drawn
        """Return no trees."""
        return {"0": np.zeros(0, dtype=np.uint8)}

    def fit(self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit) -> Arrays:
        """Boost a silo's own trees from where the global model is (bagging)."""
        from runtime.tabular.trees import bagging  # xgboost: only bagging needs it

        return bagging.fit(arrays, z, y, how)

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return scikit-learn's estimator, or xgboost's for trees that it made."""
        if "0" not in arrays:
            return ensemble.estimator(arrays, features)
        if not arrays["0"].size:
            return ensemble.estimator(ensemble.empty(math.log(NOTHING_KNOWN / (1 - NOTHING_KNOWN))), features)
        from runtime.tabular.trees import bagging  # xgboost: only bagging needs it

        return bagging.estimator(arrays)

    def alone(
        self, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit, rounds: int
    ) -> BaseEstimator:
        """Grow the same kind of trees on one data set, without the limits of what may leave."""
        return ensemble.estimator(
            pooled.grow(z, y, compute_sample_weight(_WEIGHTS[how.class_weight], y), how.c, how.seed, rounds),
            z.shape[1],
        )

    def check(self, update: Arrays, like: Arrays) -> None:  # noqa: ARG002 - a tree is like no other
        """Refuse what are not trees of ours."""
        from runtime.tabular.trees import bagging  # xgboost: only bagging needs it

        bagging.check(update)


MODEL = Trees()
