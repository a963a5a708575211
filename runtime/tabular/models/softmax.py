"""Multinomial logistic regression: a linear predictor for each of several classes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from runtime.tabular.columns.columns import Task
from runtime.tabular.data.schema import CMS, Schema
from runtime.tabular.models.base import Arrays, Fit, Model, logistic_regression
from runtime.tabular.models.linear_model import Ask, LinearModel, Question, class_weights, row_weights
from runtime.tabular.summed_loss import Curvature, SoftmaxLoss, Vector


class Softmax(LinearModel):
    """`coef` of shape (k, d) and `intercept` of shape (k,) for k classes."""

    tasks: ClassVar[frozenset[Task]] = frozenset({Task.MULTICLASS})

    def __init__(self, schema: Schema = CMS) -> None:
        self._schema, self.outputs = schema, len(schema.classes)

    def of(self, schema: Schema) -> Model:
        """Return the model whose classes are a schema's."""
        return Softmax(schema)

    def loss(self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit) -> SoftmaxLoss:
        """Return the loss of a silo's rows."""
        weight = row_weights(y, how)
        if weight is None and how.class_weight == "balanced":
            weight = class_weights(self.label_sums(y, None), how)[y]
        return SoftmaxLoss(z, y, weight, classes=self.outputs)

    def label_sums(self, y: npt.NDArray[Any], exposure: npt.NDArray[np.float64] | None) -> Vector:  # noqa: ARG002
        """Return how many rows have each label."""
        return np.bincount(y, minlength=self.outputs).astype(np.float64)

    def answer(
        self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit, ask: Question
    ) -> tuple[dict[str, npt.NDArray[np.float64]], float, dict[str, Any]]:
        """Return the sums of all classes but the last, whose own follow: over the classes all add up to 0."""
        full, loss, told = super().answer(arrays, z, y, how, ask)
        free, width = self.outputs - 1, z.shape[1] + 1
        made = {"loss": full["loss"], "gradient": full["gradient"][: free * width]}
        if "hessian" in full:
            blocks = full["hessian"].reshape(self.outputs, width, self.outputs, width)
            upper = np.triu_indices(width)
            pairs = zip(*np.triu_indices(free), strict=True)
            made["blocks"] = np.stack([blocks[one, :, other][upper] for one, other in pairs])
        return made, loss, told

    def answer_like(self, arrays: Arrays, ask: Ask) -> dict[str, npt.NDArray[np.float64]]:
        """Return arrays of the names and shapes of such an answer."""
        free, width = self.outputs - 1, arrays["coef"].shape[1] + 1
        like = {"loss": np.zeros(1), "gradient": np.zeros(free * width)}
        if ask is Ask.CURVATURE:
            like["blocks"] = np.zeros((free * (free + 1) // 2, width * (width + 1) // 2))
        return like

    def curvature(self, theta: Vector, sums: Arrays) -> Curvature:
        """Return loss, gradient and Hessian of all classes."""
        k, width = self.outputs, len(theta) // self.outputs
        told = sums["gradient"].reshape(k - 1, width)
        gradient = np.vstack([told, -told.sum(axis=0)]).ravel()
        if "blocks" not in sums:
            return Curvature(float(sums["loss"][0]), gradient)
        blocks, upper = np.zeros((k, k, width, width)), np.triu_indices(width)
        for packed, one, other in zip(sums["blocks"], *np.triu_indices(k - 1), strict=True):
            block = np.zeros((width, width))
            block[upper] = packed
            blocks[one, other] = blocks[other, one] = block + np.triu(block, 1).T
        blocks[:-1, -1] = -blocks[:-1, :-1].sum(axis=1)
        blocks[-1, :-1] = blocks[:-1, -1]
        blocks[-1, -1] = -blocks[-1, :-1].sum(axis=0)
        hessian = blocks.transpose(0, 2, 1, 3).reshape(k * width, k * width)
        return Curvature(float(sums["loss"][0]), gradient, hessian)

    def started(self, arrays: Arrays, sums: Vector, how: Fit) -> Arrays:
        """Begin at the labels' shares; the mean of the intercepts, which says nothing, is 0."""
        logs = np.log(np.maximum(sums, 0.5) * class_weights(sums, how))
        return {**arrays, "intercept": logs - logs.mean()}

    def predict(self, fitted: BaseEstimator, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the probability of each class: shape (n, k)."""
        return np.asarray(fitted.predict_proba(rows), dtype=np.float64)

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return scikit-learn's LogisticRegression."""
        return logistic_regression(arrays, self._schema, features)

    def alone(
        self,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[np.int64],
        how: Fit,
        rounds: int,  # noqa: ARG002 - it converges
    ) -> BaseEstimator:
        """Fit scikit-learn's LogisticRegression to convergence; a class that is not there gets no chance."""
        weight = "balanced" if how.class_weight == "balanced" else None
        found = LogisticRegression(C=how.c, class_weight=weight, solver="newton-cholesky", tol=1e-10).fit(
            z, y
        )
        coef, intercept = np.zeros((self.outputs, z.shape[1])), np.full(self.outputs, -30.0)
        there = found.classes_.astype(np.int64)
        if len(there) == 2:
            coef[there[1]], intercept[there] = found.coef_[0], [0.0, found.intercept_[0]]
        else:
            coef[there], intercept[there] = found.coef_, found.intercept_
        return self.estimator({"coef": coef, "intercept": intercept}, z.shape[1])


MODEL = Softmax()
