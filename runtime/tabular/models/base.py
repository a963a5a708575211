"""What a model is to a federation: arrays that can be sent, fitted on a silo, and turned into a Pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.moments import Moments, Scaler
from runtime.tabular.data.schema import Schema
from runtime.updates import check_update

Arrays = Mapping[str, npt.NDArray[Any]]
"""A global model's parameters by name; the same names in every round."""

AVERAGING = frozenset(
    {"fedavg", "fedavgm", "fedprox", "fedadagrad", "fedadam", "fedyogi", "qfedavg"}
    | {"fedmedian", "fedtrimmedavg", "krum", "multikrum", "bulyan"}
)
"""The strategies that form one model out of models of the same shape."""


@dataclass(frozen=True)
class Fit:
    """How a client fits.

    Parameters
    ----------
    iterations
        Passes of the model's own solver over the silo in one round.
    c
        Inverse strength of the L2 penalty, as scikit-learn's LogisticRegression has it.
    class_weight
        `balanced` weighs each label by the inverse of its share in the silo.
    mu
        Weight of FedProx's proximal term.
    seed
        Of whatever the solver draws.
    share
        The silo's part of all rows, where the silos' steps add up.
    """

    iterations: int = 10
    c: float = 1.0
    class_weight: Literal["none", "balanced"] = "none"
    mu: float = 0.0
    seed: int = 0
    share: float = 1.0


class Model(ABC):
    """A kind of model."""

    strategies: ClassVar[frozenset[str]] = AVERAGING
    """The strategies that can train it, by name; the first to try stands in `best_strategy`."""

    best_strategy: ClassVar[str] = "fedavg"

    best_plain_strategy: ClassVar[str] = ""
    """The first to try where updates are asked for plain, if that is another one."""

    fixed_size: ClassVar[bool] = True
    """Whether every update takes exactly the bytes that the global model does."""

    @abstractmethod
    def initial(self, features: int, seed: int) -> Arrays:
        """Return the model that knows nothing, for d features."""

    @abstractmethod
    def fit(self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit) -> Arrays:
        """Fit on one silo's standardised features, starting from the global model."""

    @abstractmethod
    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return the fitted scikit-learn estimator of standardised features that the arrays describe."""

    @abstractmethod
    def alone(
        self, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit, rounds: int
    ) -> BaseEstimator:
        """Fit an estimator on one data set, as its library would: what pooling, or staying alone, gives."""

    def disclosed(
        self,
        arrays: Arrays,  # noqa: ARG002 - what the linear models go by
        z: npt.NDArray[np.float64],  # noqa: ARG002
        y: npt.NDArray[np.int64],  # noqa: ARG002
        how: Fit,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return what an update at this model tells of single rows, as a client's `Basis` takes it."""
        return {}

    def check(self, update: Arrays, like: Arrays) -> None:
        """Refuse an update that cannot be one, given the global model."""
        check_update(update, like)


def pipeline(estimator: BaseEstimator, scaler: Scaler, schema: Schema) -> Pipeline:
    """Put raw rows before an estimator of standardised features; loading the result needs nothing of ours."""
    standardise = StandardScaler()
    order = np.flatnonzero(schema.logged).tolist() + np.flatnonzero(~schema.logged).tolist()
    log = FunctionTransformer(np.log1p, inverse_func=np.expm1)
    if schema.logged.all():
        first = log
    else:
        logged, as_is = order[: int(schema.logged.sum())], order[int(schema.logged.sum()) :]
        first = ColumnTransformer([("log1p", log, logged), ("as_is", "passthrough", as_is)])
        # The transformer puts the logged columns first; the last step puts them back where they were.
    standardise.mean_, standardise.scale_ = scaler.mean[order], scaler.scale[order]
    standardise.var_ = standardise.scale_**2
    standardise.n_features_in_ = len(order)
    steps = [("log1p", first), ("standardise", standardise)]
    if not schema.logged.all():
        back = ColumnTransformer([("in_order", "passthrough", np.argsort(order).tolist())])
        steps.append(("in_order", back))
    fitted = Pipeline([*steps, ("classify", estimator)])
    return _fitted(fitted, len(order))


def _fitted(whole: Pipeline, features: int) -> Pipeline:
    """Let the column transformers learn how many columns there are, which is all that they learn."""
    rows = np.ones((2, features))
    for _, step in whole.steps[:-1]:
        if isinstance(step, ColumnTransformer):
            step.fit(rows)
    return whole


def as_pipeline(model: Model, arrays: Arrays, scaler: Scaler, schema: Schema) -> Pipeline:
    """Return a global model as the Pipeline that takes raw rows."""
    return pipeline(model.estimator(arrays, len(schema.features)), scaler, schema)


def fit_alone(model: Model, train: Dataset, how: Fit, rounds: int = 1) -> Pipeline:
    """Fit a model on one data set with its own scaler; where there is one label only, its share."""
    scaler = Moments.of(train.x, train.schema).scaler()
    z = standardise(train, scaler)
    if train.y.min() == train.y.max():
        return pipeline(_share(z, train.y), scaler, train.schema)
    return pipeline(model.alone(z, train.y, how, rounds), scaler, train.schema)


def _share(z: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> BaseEstimator:
    """Return what no model can better on rows of one label: the same probability for every row.

    It is the share of positives by Laplace's rule of succession, so that the other label is not impossible.
    """
    counts = np.bincount(y, minlength=2) + 1
    return DummyClassifier(strategy="prior").fit(z[[0, 0]], [0, 1], sample_weight=counts)


def standardise(rows: Dataset, scaler: Scaler) -> npt.NDArray[np.float64]:
    """Return a data set's features as a model takes them: shape (n, d)."""
    return (rows.transformed() - scaler.mean) / scaler.scale
