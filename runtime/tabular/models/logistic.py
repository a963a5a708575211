"""Logistic regression."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from runtime.tabular.logistic_loss import LogisticLoss, Vector
from runtime.tabular.models.base import AVERAGING, Arrays, Fit, Model


class Logistic(Model):
    """`coef` of shape (1, d) and `intercept` of shape (1,)."""

    strategies: ClassVar[frozenset[str]] = AVERAGING | {"fednewton"}
    best_strategy: ClassVar[str] = "fednewton"

    def initial(self, features: int, seed: int) -> Arrays:  # noqa: ARG002 - nothing is drawn
        """Return the model for which every row has probability one half."""
        return {"coef": np.zeros((1, features)), "intercept": np.zeros(1)}

    def fit(self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit) -> Arrays:
        """Minimise the silo's penalised log loss by a few L-BFGS iterations."""
        loss = LogisticLoss(z, y, balanced=how.class_weight == "balanced")
        return from_vector(loss.fit(to_vector(arrays), iterations=how.iterations, c=how.c, mu=how.mu))

    def disclosed(
        self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[np.int64], how: Fit
    ) -> dict[str, Any]:
        """Return each row's share of the first gradient, and how many unknowns the rows are."""
        loss = LogisticLoss(z, y, balanced=how.class_weight == "balanced")
        theta = to_vector(arrays)
        return {"shares": loss.shares(theta)[:1], "cells": loss.cells, **loss.weights(theta)}

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return scikit-learn's LogisticRegression."""
        classify = LogisticRegression()
        classify.coef_, classify.intercept_ = arrays["coef"].copy(), arrays["intercept"].copy()
        classify.classes_, classify.n_features_in_ = np.array([0, 1]), features
        classify.n_iter_ = np.zeros(1, dtype=np.int32)
        return classify

    def alone(
        self,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[np.int64],
        how: Fit,
        rounds: int,  # noqa: ARG002 - it converges
    ) -> BaseEstimator:
        """Fit scikit-learn's LogisticRegression to convergence."""
        weight = "balanced" if how.class_weight == "balanced" else None
        fitted = LogisticRegression(C=how.c, class_weight=weight, solver="newton-cholesky", tol=1e-10)
        return fitted.fit(z, y)


def to_vector(arrays: Arrays) -> Vector:
    """Return a model as one vector: coefficients and, last, the intercept."""
    return np.concatenate([arrays["coef"][0], arrays["intercept"]])


def from_vector(theta: Vector) -> Arrays:
    """Return a vector as a model."""
    return {"coef": theta[None, :-1].copy(), "intercept": theta[-1:].copy()}


MODEL = Logistic()
