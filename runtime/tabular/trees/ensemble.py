"""Trees as arrays, and as scikit-learn's own estimator.

Every tree is complete and numbered as a heap: node i has the children 2 i + 1 and 2 i + 2. A row goes left
where its standardised feature is at most the threshold, in float64 on both sides, so that a client's bins and
the estimator's comparisons are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

Arrays = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]

DEPTH: Final = 3
SPLITS: Final = 2**DEPTH - 1
NODES: Final = 2 ** (DEPTH + 1) - 1
NO_SPLIT: Final = -1
"""The feature of a node that is a leaf, or is not there."""

NAMES: Final = ("base", "feature", "threshold", "value")


def empty(base: float) -> dict[str, npt.NDArray[Any]]:
    """Return an ensemble without trees: every row has the same log-odds.

    Returns
    -------
    dict
        `base` (1,), `feature` int64 and `threshold` of shape (trees, 7), `value` of shape (trees, 15).
    """
    return {
        "base": np.array([base]),
        "feature": np.zeros((0, SPLITS), dtype=np.int64),
        "threshold": np.zeros((0, SPLITS)),
        "value": np.zeros((0, NODES)),
    }


def add(arrays: Arrays, feature: npt.NDArray[Any], threshold: Floats, value: Floats) -> dict[str, Any]:
    """Return an ensemble with more trees."""
    more = {"feature": feature, "threshold": threshold, "value": value}
    return {
        "base": arrays["base"],
        **{name: np.concatenate([arrays[name], more[name]]) for name in NAMES[1:]},
    }


def fault(arrays: Arrays, features: int) -> str | None:
    """Return what is wrong with arrays that are to be an ensemble; None if nothing is."""
    if set(arrays) != set(NAMES):
        return f"the arrays are {sorted(arrays)}, expected {sorted(NAMES)}"
    trees = len(arrays["feature"]) if arrays["feature"].ndim else -1
    shapes = {"base": (1,), "feature": (trees, SPLITS), "threshold": (trees, SPLITS), "value": (trees, NODES)}
    for name, shape in shapes.items():
        kind = np.int64 if name == "feature" else np.float64
        if arrays[name].shape != shape or arrays[name].dtype != kind:
            return f"{name!r} is {arrays[name].dtype} of shape {arrays[name].shape}, expected {shape}"
        if not np.isfinite(arrays[name]).all():
            return f"{name!r} is not finite"
    if trees and not -1 <= arrays["feature"].min() <= arrays["feature"].max() < features:
        return "a split is on a feature that there is not"
    return None


def margins(arrays: Arrays, z: Floats) -> Floats:
    """Return the log-odds of standardised rows: shape (n, d) to (n,), added in the estimator's order."""
    return Margins(z).of(arrays)


class Margins:
    """The log-odds of some rows as trees are added to an ensemble: only the new trees are looked at."""

    def __init__(self, z: Floats) -> None:
        self._z, self._total = z, np.zeros(len(z))
        self._known: Arrays = empty(0.0)

    def of(self, arrays: Arrays) -> Floats:
        """Return the log-odds under an ensemble, shape (n,); anew if it does not begin with the last one."""
        count = len(self._known["feature"])
        same = all(np.array_equal(arrays[name][:count], self._known[name]) for name in NAMES[1:])
        if not (count and same and np.array_equal(arrays["base"], self._known["base"])):
            self._total, count = np.full(len(self._z), float(arrays["base"][0])), 0
        for tree in range(count, len(arrays["feature"])):
            at = leaves(arrays["feature"][tree], arrays["threshold"][tree], self._z)
            self._total = self._total + arrays["value"][tree][at]
        self._known = {name: arrays[name].copy() for name in NAMES}
        return self._total


def leaves(feature: npt.NDArray[Any], threshold: Floats, z: Floats) -> npt.NDArray[np.int64]:
    """Return the node of a tree that each row ends in: shape (n,)."""
    at = np.zeros(len(z), dtype=np.int64)
    for _ in range(DEPTH):
        splits = (at < SPLITS) & (feature[np.minimum(at, SPLITS - 1)] != NO_SPLIT)
        rows = np.flatnonzero(splits)
        node = at[rows]
        right = ~(z[rows, feature[node]] <= threshold[node])
        at[rows] = 2 * node + 1 + right
    return at


def estimator(arrays: Arrays, features: int) -> BaseEstimator:
    """Return scikit-learn's HistGradientBoostingClassifier with these trees in it.

    It is fitted on two rows for whatever else its version keeps; then its trees are exchanged.
    """
    made = HistGradientBoostingClassifier(max_iter=1, max_depth=DEPTH, early_stopping=False)
    made.fit(np.zeros((2, features)), np.array([0, 1]))
    made._baseline_prediction = np.asarray(arrays["base"], dtype=np.float64).reshape(1, 1)
    made._predictors = [
        [_predictor(*tree)] for tree in zip(*(arrays[name] for name in NAMES[1:]), strict=True)
    ]
    made.set_params(max_iter=max(1, len(made._predictors)))
    return made


def _predictor(feature: npt.NDArray[Any], threshold: Floats, value: Floats) -> TreePredictor:
    """Return one tree as scikit-learn keeps it: only the nodes that there are, each after its parent."""
    there, place = [0], {0: 0}
    for node in there:
        if node < SPLITS and feature[node] != NO_SPLIT:
            for child in (2 * node + 1, 2 * node + 2):
                place[child] = len(there)
                there.append(child)
    nodes = np.zeros(len(there), dtype=PREDICTOR_RECORD_DTYPE)
    for record, node in zip(nodes, there, strict=True):
        record["value"], record["depth"] = value[node], int(np.log2(node + 1))
        record["is_leaf"] = 2 * node + 1 not in place
        if not record["is_leaf"]:
            record["feature_idx"], record["num_threshold"] = feature[node], threshold[node]
            record["left"], record["right"] = place[2 * node + 1], place[2 * node + 2]
    none = np.zeros((0, 8), dtype=np.uint32)
    return TreePredictor(nodes, none, none)
