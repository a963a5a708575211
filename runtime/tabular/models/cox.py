"""Cox's proportional hazards, with Breslow's ties, on the grid of times that the schema declares."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from runtime.contract import POLICY_REFUSES, ExitCode, FedstackError
from runtime.tabular import cox_loss
from runtime.tabular.columns.columns import Task
from runtime.tabular.cox_loss import CoxRows
from runtime.tabular.data.schema import CMS, Schema
from runtime.tabular.models import poisson
from runtime.tabular.models.base import Arrays, Fit, Model
from runtime.tabular.models.linear_model import Ask, LinearModel, Question, to_vector
from runtime.tabular.summed_loss import Curvature, SummedLoss, Vector

MOST_STEPS = 100
LARGEST_HAZARD = 1e100
"""Of a cumulative hazard that is sent, so that no product with it overflows."""


class Cox(LinearModel):
    """`coef` of shape (1, d) and `intercept` of shape (0,): there is none."""

    tasks: ClassVar[frozenset[Task]] = frozenset({Task.COX})
    strategies: ClassVar[frozenset[str]] = frozenset({"fednewton"})
    two_steps: ClassVar[bool] = True

    def __init__(self, schema: Schema = CMS) -> None:
        self._grid = schema.grid

    def of(self, schema: Schema) -> Model:
        """Return the model on a schema's grid of times."""
        return Cox(schema)

    def initial(self, features: int, seed: int) -> Arrays:  # noqa: ARG002 - nothing is drawn
        """Return the model in which all rows have the same hazard."""
        return {"coef": np.zeros((1, features)), "intercept": np.zeros(0)}

    def loss(self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit) -> SummedLoss:
        """Refuse: no sum over rows is the partial likelihood."""
        raise NotImplementedError

    def fit(self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit) -> Arrays:
        """Refuse: see `strategies`."""
        raise NotImplementedError

    def label_sums(self, y: npt.NDArray[Any], exposure: npt.NDArray[np.float64] | None) -> Vector:  # noqa: ARG002
        """Return how many rows have an event."""
        return np.array([float((y > 0).sum())])

    def started(self, arrays: Arrays, sums: Vector, how: Fit) -> Arrays:  # noqa: ARG002
        """Begin at equal hazards."""
        return arrays

    def losses(
        self,
        arrays: Arrays,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[Any],
        how: Fit,  # noqa: ARG002
    ) -> tuple[float, float]:
        """Return the mean loss a row, and in units in which who knows nothing loses log 2."""
        return CoxRows(z, y, self._grid).losses(to_vector(arrays))

    def answer(
        self,
        arrays: Arrays,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[Any],
        how: Fit,  # noqa: ARG002
        ask: Question,
    ) -> tuple[dict[str, npt.NDArray[np.float64]], float, dict[str, Any]]:
        """Return who is at risk, or what follows from that; the loss a row; what they disclose."""
        rows, theta = CoxRows(z, y, self._grid), to_vector(arrays)
        loss, relative = rows.losses(theta)
        told = {"cells": rows.cells, "loss": relative}
        if ask.kind is Ask.RISK:
            return rows.risk(theta), loss, {**told, "shares": tuple(rows.in_cells(theta))}
        hazards = np.asarray(ask.hazards)
        usable = bool(((hazards >= 0) & (hazards <= LARGEST_HAZARD)).all())  # NaN compares false
        if hazards.shape != (len(self._grid) + 1,) or not usable or (np.diff(hazards) < 0).any():
            what = f"{POLICY_REFUSES}: the cumulative hazard that was sent is none."
            raise FedstackError(ExitCode.PRIVACY_POLICY, what, "Deploy the same release.", public=what)
        made = {"gradient": rows.slope(theta, hazards)}
        if ask.kind is not Ask.GRADIENT:
            made["hessian"] = rows.products(theta, hazards)
        if ask.kind is Ask.CURVATURE:
            made["features"] = rows.features(theta)
        return made, loss, {**told, **rows.disclosed(theta, hazards, features="features" in made)}

    def answer_like(self, arrays: Arrays, ask: Ask) -> dict[str, npt.NDArray[np.float64]]:
        """Return arrays of the names and shapes of such an answer."""
        d, cells = len(to_vector(arrays)), len(self._grid)
        if ask is Ask.RISK:
            return {"deaths": np.zeros(cells), "risk": np.zeros(cells + 1), "eta": np.zeros(1)}
        like = {"gradient": np.zeros(d)}
        like |= {"hessian": np.zeros((d, d))} if ask is not Ask.GRADIENT else {}
        return like | ({"features": np.zeros((cells + 1, d))} if ask is Ask.CURVATURE else {})

    def curvature(self, theta: Vector, sums: Arrays) -> Curvature:
        """Return what all sums so far say: the loss, then the gradient, and the Hessian or a bound on it."""
        found = Curvature(cox_loss.loss(sums), sums.get("gradient", np.zeros(len(theta))))
        if "features" in sums:
            return replace(found, hessian=sums["hessian"] - cox_loss.between(sums))
        return replace(found, bound=sums.get("hessian"))

    def hazards(self, sums: Arrays) -> tuple[float, ...]:
        """Return what the next round's curvature needs of the sums."""
        return tuple(cox_loss.cumulative_hazard(sums).tolist())

    def predict(self, fitted: BaseEstimator, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the hazard, relative to the mean row's: shape (n,)."""
        return np.asarray(fitted.predict(rows), dtype=np.float64)

    def estimator(self, arrays: Arrays, features: int) -> BaseEstimator:
        """Return an estimator whose prediction is the hazard relative to the mean row's.

        scikit-learn has no Cox model; its PoissonRegressor with an intercept of 0 predicts exp(coef z).
        """
        return poisson.MODEL.estimator({**arrays, "intercept": np.zeros(1)}, features)

    def alone(
        self,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[Any],
        how: Fit,
        rounds: int,  # noqa: ARG002
    ) -> BaseEstimator:
        """Fit by Newton's method."""
        rows, theta = CoxRows(z, y, self._grid), np.zeros(z.shape[1])
        penalty = 0.0 if math.isinf(how.c) else 1 / how.c
        for _ in range(MOST_STEPS):
            sums = {**rows.risk(theta), "features": rows.features(theta)}
            hazards = cox_loss.cumulative_hazard(sums)
            hessian = rows.products(theta, hazards) - cox_loss.between(sums) + penalty * np.eye(len(theta))
            step = np.linalg.lstsq(hessian, rows.slope(theta, hazards) + penalty * theta, rcond=None)[0]
            theta = theta - step / max(1.0, float(np.abs(step).max()))
            if np.abs(step).max() < 1e-10:
                break
        return self.estimator({"coef": theta[None, :], "intercept": np.zeros(0)}, z.shape[1])


MODEL = Cox()
