"""What a model is to a federation: arrays that can be sent, fitted on a silo, and turned into a Pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from runtime.tabular.columns.columns import Task
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.moments import Moments, Scaler
from runtime.tabular.data.schema import Schema
from runtime.tabular.metrics import log_loss
from runtime.tabular.models import raw_rows
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
    label_weights
        What a row of each label weighs, by the labels' shares in all silos; where None, `class_weight` says.
    exposure
        What the rows' counts are over, shape (n,).
    """

    iterations: int = 10
    c: float = 1.0
    class_weight: Literal["none", "balanced"] = "none"
    mu: float = 0.0
    seed: int = 0
    share: float = 1.0
    label_weights: tuple[float, ...] | None = None
    exposure: npt.NDArray[np.float64] | None = None

    def over(self, exposure: npt.NDArray[np.float64] | None) -> Fit:
        """Return the same for rows whose counts are over an exposure."""
        return replace(self, exposure=exposure)


class Model(ABC):
    """A kind of model."""

    strategies: ClassVar[frozenset[str]] = AVERAGING
    """The strategies that can train it, by name; the first to try stands in `best_strategy`."""

    best_strategy: ClassVar[str] = "fedavg"

    best_plain_strategy: ClassVar[str] = ""
    """The first to try where updates are asked for plain, if that is another one."""

    fixed_size: ClassVar[bool] = True
    """Whether every update takes exactly the bytes that the global model does."""

    tasks: ClassVar[frozenset[Task]] = frozenset({Task.BINARY})
    """What it can learn."""

    def of(self, schema: Schema) -> Model:  # noqa: ARG002 - most models need only know how many columns
        """Return the model for tables of a schema."""
        return self

    def predict(self, fitted: BaseEstimator, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return what a fitted estimator says of rows: a probability, those of all classes, or a number."""
        return np.asarray(fitted.predict_proba(rows)[:, 1], dtype=np.float64)

    def label_sums(
        self,
        y: npt.NDArray[Any],
        exposure: npt.NDArray[np.float64] | None,  # noqa: ARG002
    ) -> npt.NDArray[np.float64]:
        """Return what is summed of the labels before the first round: how many rows have each."""
        return np.bincount(y, minlength=2).astype(np.float64)

    def labelled(self, arrays: Arrays, sums: npt.NDArray[np.float64]) -> Arrays:  # noqa: ARG002 - most need none
        """Return the model with what it keeps of the labels."""
        return arrays

    def losses(
        self,
        arrays: Arrays,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[Any],
        how: Fit,  # noqa: ARG002
    ) -> tuple[float, float]:
        """Return the mean loss a row, as it is told, and in units in which who knows nothing loses log 2."""
        loss = log_loss(y, self.estimator(arrays, z.shape[1]).predict_proba(z)[:, 1])
        return loss, loss

    def alone_on(self, z: npt.NDArray[np.float64], train: Dataset, how: Fit, rounds: int) -> BaseEstimator:
        """Fit an estimator on one data set whose standardised features are given."""
        return self.alone(z, train.y, how, rounds)

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
    """Put raw rows before an estimator of standardised features; loading the result needs nothing of ours.

    It takes the features of a row in the schema's order; of typed columns as a file or a data frame has them.
    """
    standardise = StandardScaler()
    if schema.table:
        encode, shift = raw_rows.encoder(schema, scaler)
        _learnt(standardise, scaler.mean + shift, scaler.scale)
        whole = Pipeline([("encode", encode), ("standardise", standardise), ("predict", estimator)])
        whole.schema_ = _told(schema)
        return whole
    order = np.flatnonzero(schema.logged).tolist() + np.flatnonzero(~schema.logged).tolist()
    log = FunctionTransformer(np.log1p, inverse_func=np.expm1)
    if schema.logged.all():
        first = log
    else:
        logged, as_is = order[: int(schema.logged.sum())], order[int(schema.logged.sum()) :]
        first = ColumnTransformer([("log1p", log, logged), ("as_is", "passthrough", as_is)])
        # The transformer puts the logged columns first; the last step puts them back where they were.
    _learnt(standardise, scaler.mean[order], scaler.scale[order])
    steps = [("log1p", first), ("standardise", standardise)]
    if not schema.logged.all():
        back = ColumnTransformer([("in_order", "passthrough", np.argsort(order).tolist())])
        steps.append(("in_order", back))
    fitted = Pipeline([*steps, ("classify", estimator)])
    fitted.schema_ = _told(schema)
    return _fitted(fitted, len(order))


def _told(schema: Schema) -> dict[str, Any]:
    """Return what whoever scores rows has to know of the columns."""
    told: dict[str, Any] = {"label": schema.label, "features": [*schema.features]}
    if not schema.table:
        return told | {"as_is": [*schema.as_is]}
    others = [column.name for column in schema.table if column.name not in schema.features]
    classes = {"classes": [*schema.classes]} if schema.of_classes else {}
    return told | {"typed": True, "others": others, **classes}


def _learnt(
    standardise: StandardScaler, mean: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
) -> None:
    """Let a scaler have learnt mean and scale."""
    standardise.mean_, standardise.scale_, standardise.var_ = mean, scale, scale**2
    standardise.n_features_in_ = len(mean)


def _fitted(whole: Pipeline, features: int) -> Pipeline:
    """Let the column transformers learn how many columns there are, which is all that they learn."""
    rows = np.ones((2, features))
    for _, step in whole.steps[:-1]:
        if isinstance(step, ColumnTransformer):
            step.fit(rows)
    return whole


def as_pipeline(model: Model, arrays: Arrays, scaler: Scaler, schema: Schema) -> Pipeline:
    """Return a global model as the Pipeline that takes raw rows."""
    return pipeline(model.of(schema).estimator(arrays, schema.width), scaler, schema)


def fit_alone(model: Model, train: Dataset, how: Fit, rounds: int = 1) -> Pipeline:
    """Fit a model on one data set with its own scaler; where there is one label only, its share."""
    scaler, model = Moments.of(train.x, train.schema).scaler(), model.of(train.schema)
    z = standardise(train, scaler)
    if train.schema.of_classes and train.y.min() == train.y.max():
        return pipeline(_share(z, train), scaler, train.schema)
    return pipeline(model.alone_on(z, train, how, rounds), scaler, train.schema)


def _share(z: npt.NDArray[np.float64], train: Dataset) -> BaseEstimator:
    """Return what no model can better on rows of one label: the same probabilities for every row.

    They are the labels' shares by Laplace's rule of succession, so that no other label is impossible.
    """
    classes = classes_of(train.schema)
    counts = np.bincount(train.y, minlength=len(classes)) + 1
    rows = np.zeros(len(classes), dtype=np.int64)
    return DummyClassifier(strategy="prior").fit(z[rows], classes, sample_weight=counts)


def classes_of(schema: Schema) -> npt.NDArray[Any]:
    """Return the labels as a fitted model says them: 0 and 1, or as the file of a typed schema has them."""
    return np.array(schema.classes, dtype=object).astype(str) if schema.table else np.array([0, 1])


def logistic_regression(arrays: Arrays, schema: Schema, features: int) -> LogisticRegression:
    """Return scikit-learn's LogisticRegression with these coefficients, of two classes or more."""
    fitted = LogisticRegression()
    fitted.coef_, fitted.intercept_ = arrays["coef"].copy(), arrays["intercept"].copy()
    fitted.classes_, fitted.n_features_in_ = classes_of(schema), features
    fitted.n_iter_ = np.zeros(1, dtype=np.int32)
    return fitted


def standardise(rows: Dataset, scaler: Scaler) -> npt.NDArray[np.float64]:
    """Return a data set's features as a model takes them: shape (n, w)."""
    encoded = rows.schema.encoding.filled(rows.transformed(), scaler.fill)
    return (encoded - scaler.mean) / scaler.scale


def predict(model: Model, arrays: Arrays, scaler: Scaler, rows: Dataset) -> npt.NDArray[np.float64]:
    """Return what a global model says of rows: see `Model.predict`."""
    model = model.of(rows.schema)
    return model.predict(model.estimator(arrays, rows.schema.width), standardise(rows, scaler))


def predict_raw(model: Model, fitted: Pipeline, rows: Dataset) -> npt.NDArray[np.float64]:
    """Return what a fitted pipeline says of rows: see `Model.predict`."""
    return model.of(rows.schema).predict(fitted, rows.raw())
