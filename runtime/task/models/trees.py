"""Gradient-boosted trees, by xgboost (the extra `trees`): every client adds a tree in every round."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from sklearn.base import BaseEstimator

from runtime.task.models.base import Arrays, Fit, Model
from runtime.task.updates import UpdateRefusedError

ETA: Final = 0.1
DEPTH: Final = 4
PARAMETERS: Final[dict[str, Any]] = {
    "objective": "binary:logistic",
    "base_score": 0.1,  # the same for all clients: xgboost would take each silo's own share of positives
    "max_depth": DEPTH,
    "eta": ETA,
    "subsample": 0.8,
    "lambda": 1.0,
    "nthread": 1,
}
MOST_BYTES: Final = 1024 * 1024


class Trees(Model):
    """`0`: the booster as xgboost's JSON, uint8 of any length; empty before the first round.

    A client's update is one tree, fitted to what the trees so far leave unexplained of its silo. The server
    puts them side by side (bagging), so the step that all of them make together is that of their number.
    """

    strategies: ClassVar[frozenset[str]] = frozenset({"fedxgbbagging"})
    best_strategy: ClassVar[str] = "fedxgbbagging"
    fixed_size: ClassVar[bool] = False

    def initial(self, features: int, seed: int) -> Arrays:  # noqa: ARG002 - nothing is drawn
        """Return no trees."""
        return {"0": np.zeros(0, dtype=np.uint8)}

    def fit(self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit) -> Arrays:
        """Fit one more tree; return it alone."""
        rows = xgb.DMatrix(z, label=y, weight=_weights(y, how))
        parameters = PARAMETERS | {"eta": ETA / how.clients, "seed": how.seed}
        before = _booster(arrays)
        after = xgb.train(parameters, rows, num_boost_round=1, xgb_model=before)
        own = after[before.num_boosted_rounds() :] if before else after
        return {"0": np.frombuffer(bytes(own.save_raw("json")), dtype=np.uint8)}

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return xgboost's own classifier; with no trees, one of which every row gets the base score."""
        booster = _booster(arrays)
        if booster is None:
            rows = xgb.DMatrix(np.zeros((1, features)), label=np.zeros(1))
            booster = xgb.train(PARAMETERS, rows, num_boost_round=0)
        classifier = xgb.XGBClassifier(**{k: v for k, v in PARAMETERS.items() if k != "nthread"}, n_jobs=1)
        classifier._Booster, classifier.n_classes_ = booster, 2
        return classifier

    def alone(
        self, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit, rounds: int
    ) -> BaseEstimator:
        """Fit as many trees, one after the other."""
        rows = xgb.DMatrix(z, label=y, weight=_weights(y, how))
        booster = xgb.train(PARAMETERS | {"seed": how.seed}, rows, num_boost_round=rounds)
        return self.estimator(_arrays(booster), z.shape[1])

    def check(self, update: Arrays, like: Arrays) -> None:  # noqa: ARG002 - a tree is like no other
        """Refuse what is not one tree of ours: xgboost would read anything that looks like its JSON."""
        if list(update) != ["0"] or update["0"].dtype != np.uint8 or update["0"].ndim != 1:
            raise UpdateRefusedError(f"the arrays are {sorted(update)}, expected one of bytes named '0'")
        if update["0"].nbytes > MOST_BYTES:
            raise UpdateRefusedError(f"a tree has {update['0'].nbytes:,} bytes, the limit is {MOST_BYTES:,}")
        try:
            model = json.loads(update["0"].tobytes())["learner"]["gradient_booster"]["model"]
            (tree,) = model["trees"]
            _check_tree(tree, model["gbtree_model_param"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UpdateRefusedError(
                f"it is not one xgboost tree: {type(error).__name__}: {error}"
            ) from error


def _check_tree(tree: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Raise what is wrong with a tree: its links must stay inside it, its numbers be finite."""
    if (parameters["num_trees"], parameters["num_parallel_tree"]) != ("1", "1"):
        raise ValueError("it is not one tree")
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
    return xgb.Booster(model_file=bytearray(raw)) if raw else None


def _arrays(booster: xgb.Booster) -> Arrays:
    return {"0": np.frombuffer(bytes(booster.save_raw("json")), dtype=np.uint8)}


def _weights(y: npt.NDArray[np.int64], how: Fit) -> npt.NDArray[np.float64] | None:
    if how.class_weight == "none":
        return None
    share = np.bincount(y, minlength=2) / len(y)
    return np.asarray(0.5 / share[y], dtype=np.float64)


MODEL = Trees()
