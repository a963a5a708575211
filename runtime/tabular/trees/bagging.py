"""Bagging, by xgboost (the extra `trees`): every client boosts trees of its own a little in every round.

The global model is `0`: the booster as xgboost's JSON, uint8 of any length; empty before the first round.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from sklearn.base import BaseEstimator

from runtime.tabular.models.base import Arrays, Fit
from runtime.updates import UpdateRefusedError

ETA: Final = 0.1
DEPTH: Final = 3
PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary:logistic",
    "base_score": 0.1,  # the same for all clients: xgboost would take each silo's own share of positives
    "max_depth": DEPTH,
    "eta": ETA,
    # A step is the mean of three trees, each of other rows and columns: of few rows, one tree is mostly luck.
    "num_parallel_tree": 3,
    "subsample": 0.5,
    "colsample_bynode": 0.3,
    "nthread": 1,
}
MOST_BYTES: Final = 8 * 1024 * 1024


def fit(arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit) -> Arrays:
    """Boost from where the global model is, `iterations` steps; return the new trees alone.

    The server puts all silos' trees side by side (bagging), so each step is as long as its silo's share of
    the rows: together they go as far as the pooled rows' step would.
    """
    before = _booster(arrays)
    margin = None if before is None else before.predict(xgb.DMatrix(z), output_margin=True)
    rows = xgb.DMatrix(z, label=y, weight=_weights(y, how), base_margin=margin)
    parameters = PARAMETERS | {"eta": ETA * how.share, "seed": how.seed}
    return _side_by_side(xgb.train(parameters, rows, num_boost_round=how.iterations))


def estimator(arrays: Arrays) -> BaseEstimator:
    """Return xgboost's own classifier."""
    classifier = xgb.XGBClassifier(**{k: v for k, v in PARAMETERS.items() if k != "nthread"}, n_jobs=1)
    classifier._Booster, classifier.n_classes_ = _read(arrays["0"].tobytes()), 2
    return classifier


def check(update: Arrays) -> None:
    """Refuse what are not trees of ours: xgboost would read anything that looks like its JSON."""
    if list(update) != ["0"] or update["0"].dtype != np.uint8 or update["0"].ndim != 1:
        raise UpdateRefusedError(f"the arrays are {sorted(update)}, expected one of bytes named '0'")
    if update["0"].nbytes > MOST_BYTES:
        raise UpdateRefusedError(f"the trees have {update['0'].nbytes:,} bytes, the limit is {MOST_BYTES:,}")
    try:
        model = json.loads(update["0"].tobytes())["learner"]["gradient_booster"]["model"]
        _check_count(model["trees"], model["gbtree_model_param"])
        for tree in model["trees"]:
            _check_tree(tree)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UpdateRefusedError(f"it is not xgboost's trees: {type(error).__name__}: {error}") from error


def _check_count(trees: list[dict[str, Any]], parameters: dict[str, Any]) -> None:
    """Raise that an update does not say how many trees it has, which Flower's strategy goes by."""
    if not trees or {parameters["num_trees"], parameters["num_parallel_tree"]} != {str(len(trees))}:
        raise ValueError("it says another number of trees than it has")


def _check_tree(tree: dict[str, Any]) -> None:
    """Raise what is wrong with a tree: its links must stay inside it, its numbers be finite."""
    size, features = int(tree["tree_param"]["num_nodes"]), int(tree["tree_param"]["num_feature"])
    columns = (
        "left_children",
        "right_children",
        "parents",
        "split_indices",
        "split_conditions",
        "base_weights",
    )
    numbers = {name: np.array(tree[name], dtype=np.float64) for name in columns}
    if not 1 <= size <= 2 ** (DEPTH + 1) or any(a.shape != (size,) for a in numbers.values()):
        raise ValueError(f"it has {size} nodes in arrays of other sizes")
    if not all(np.isfinite(array).all() for array in numbers.values()):
        raise ValueError("a number is not finite")
    for name in ("left_children", "right_children"):
        child, at = numbers[name], np.arange(size)
        if not (((child > at) & (child < size)) | (child == -1)).all():
            raise ValueError(f"{name} point outside the tree or back")
    if not ((numbers["split_indices"] >= 0) & (numbers["split_indices"] < features)).all():
        raise ValueError("a split is on a feature that there is not")


def _booster(arrays: Arrays) -> xgb.Booster | None:
    raw = arrays["0"].tobytes()
    return _read(raw) if raw else None


@lru_cache(maxsize=1)
def _read(raw: bytes) -> xgb.Booster:
    """Read trees; a client needs the global ones several times in a round, and nobody changes them."""
    return xgb.Booster(model_file=bytearray(raw))


def _side_by_side(booster: xgb.Booster) -> Arrays:
    """Return trees as one layer, the only form in which Flower's strategy takes more than one of a client."""
    said = json.loads(bytes(booster.save_raw("json")))
    model = said["learner"]["gradient_booster"]["model"]
    count = len(model["trees"])
    model["gbtree_model_param"]["num_parallel_tree"] = str(count)
    model["iteration_indptr"] = [0, count]
    return {"0": np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)}


def _weights(y: npt.NDArray[np.int64], how: Fit) -> npt.NDArray[np.float64] | None:
    if how.class_weight == "none":
        return None
    share = np.bincount(y, minlength=2) / len(y)
    return np.asarray(0.5 / share[y], dtype=np.float64)
