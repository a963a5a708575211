"""What models of linear predictors share: their arrays as one vector, their fit, what an update tells."""

from __future__ import annotations

import enum
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from runtime.privacy import summed_vector
from runtime.tabular.models.base import AVERAGING, Arrays, Fit, Model
from runtime.tabular.summed_loss import Curvature, SummedLoss, Vector


class Ask(enum.StrEnum):
    """What FedNewton asks for in a round."""

    CURVATURE = "curvature"
    GRADIENT = "gradient"
    RISK = "risk"
    """Of Cox's model, who is at risk in each cell of time: what the next round's answer needs."""
    BOUND = "bound"
    """Of Cox's model, the gradient with a bound on the Hessian, which tells nothing of single cells."""


LARGEST_DENSE: Final = 5_000
"""Numbers of a model of which a Hessian is asked for: 100 MB of one member."""

MOST_COUNTED: Final = 12
"""How many Hessians a vote counts: as many are enough."""

FOR_CURVATURE: Final = 0.7
"""What part of the numbers that may leave a client goes into Hessians; gradients have the rest."""


@dataclass(frozen=True)
class Question:
    """What FedNewton asks, and what it found before that an answer needs."""

    kind: Ask = Ask.CURVATURE
    hazards: tuple[float, ...] = ()


class LinearModel(Model):
    """`coef` of shape (k, d) and `intercept` of shape (k,), for k predictors."""

    strategies: ClassVar[frozenset[str]] = AVERAGING | {"fednewton"}
    best_strategy: ClassVar[str] = "fednewton"
    two_steps: ClassVar[bool] = False
    """Whether a curvature takes two questions: who is at risk comes first."""
    quadratic: ClassVar[bool] = False
    """Whether the Hessian is the same everywhere, so that one is enough."""
    exponential: ClassVar[bool] = False
    """Whether a mean is the exponential of its predictor: a long step makes it larger than any count."""
    outputs = 1

    @abstractmethod
    def loss(self, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit) -> SummedLoss:
        """Return the loss of a silo's rows."""

    @abstractmethod
    def label_sums(self, y: npt.NDArray[Any], exposure: npt.NDArray[np.float64] | None) -> Vector:
        """Return what is summed of the labels before the first round."""

    @abstractmethod
    def started(self, arrays: Arrays, sums: Vector, how: Fit) -> Arrays:
        """Return the model to begin with, given the labels' sums: its intercept is what they say."""

    def labelled(self, arrays: Arrays, sums: Vector) -> Arrays:  # noqa: ARG002 - most need none
        """Return the model with what it keeps of the labels."""
        return arrays

    def initial(self, features: int, seed: int) -> Arrays:  # noqa: ARG002 - nothing is drawn
        """Return the model whose predictors are 0."""
        return {"coef": np.zeros((self.outputs, features)), "intercept": np.zeros(self.outputs)}

    def fit(self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit) -> Arrays:
        """Minimise the silo's penalised loss by a few L-BFGS iterations."""
        loss = self.loss(z, self.units(arrays, y), how)
        found = loss.fit(to_vector(arrays), iterations=how.iterations, c=how.c, mu=how.mu)
        return from_vector(found, arrays)

    def losses(
        self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit
    ) -> tuple[float, float]:
        """Return the mean loss a row, as it is told, and in units in which who knows nothing loses log 2."""
        loss, theta = self.loss(z, self.units(arrays, y), how), to_vector(arrays)
        return loss.mean(theta), loss.relative(theta)

    def hazards(self, sums: Arrays) -> tuple[float, ...]:  # noqa: ARG002 - only who takes two steps has any
        """Return what the second of two questions needs of the first one's sums."""
        return ()

    def answer(
        self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit, ask: Question
    ) -> tuple[dict[str, npt.NDArray[np.float64]], float, dict[str, Any]]:
        """Return what FedNewton asks a silo for: arrays to be summed, the loss a row, what they disclose."""
        loss, theta = self.loss(z, self.units(arrays, y), how), to_vector(arrays)
        curved = ask.kind is Ask.CURVATURE
        shares = loss.shares(theta) if curved else loss.shares(theta)[: loss.outputs]
        told = {"shares": shares, "cells": loss.cells, "loss": loss.relative(theta), **loss.weights(theta)}
        return loss.curvature(theta, curved=curved).arrays(), loss.mean(theta), told

    def answer_like(self, arrays: Arrays, ask: Ask) -> dict[str, npt.NDArray[np.float64]]:
        """Return arrays of the names and shapes of such an answer."""
        size = len(to_vector(arrays))
        like = {"loss": np.zeros(1), "gradient": np.zeros(size)}
        return like | ({"hessian": np.zeros((size, size))} if ask is Ask.CURVATURE else {})

    def fitting(self, features: int, numbers: float) -> Vector:
        """Return a vote, shape (12,): 1 for each of 1 to 12 Hessians that may leave a client.

        Parameters
        ----------
        numbers
            How many numbers may leave the client in the whole run.
        """
        arrays = self.initial(features, 0)
        if len(to_vector(arrays)) > LARGEST_DENSE:  # none is asked for, and one might not fit into memory
            return np.zeros(MOST_COUNTED)
        size = summed_vector.size(self.answer_like(arrays, Ask.CURVATURE))
        fits = np.arange(1, MOST_COUNTED + 1) * size <= FOR_CURVATURE * numbers
        return np.asarray(fits, dtype=np.float64)

    def curvature(self, theta: Vector, sums: Arrays) -> Curvature:  # noqa: ARG002 - others need it
        """Return loss, gradient and, if it was asked for, Hessian of all rows, given the sums."""
        return Curvature(float(sums["loss"][0]), sums["gradient"], sums.get("hessian"))

    def units(self, arrays: Arrays, y: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: ARG002 - most have one
        """Return labels in the units of the model's predictor."""
        return y

    def disclosed(
        self, arrays: Arrays, z: npt.NDArray[np.float64], y: npt.NDArray[Any], how: Fit
    ) -> dict[str, Any]:
        """Return each row's share of the first gradient, and how many unknowns the rows are."""
        loss, theta = self.loss(z, self.units(arrays, y), how), to_vector(arrays)
        return {"shares": loss.shares(theta)[: loss.outputs], "cells": loss.cells, **loss.weights(theta)}


def to_vector(arrays: Arrays) -> Vector:
    """Return a model as one vector: of each predictor the coefficients and, last, the intercept."""
    if not arrays["intercept"].size:
        return np.asarray(arrays["coef"].ravel(), dtype=np.float64)
    return np.column_stack([arrays["coef"], arrays["intercept"]]).ravel()


def from_vector(theta: Vector, like: Arrays | None = None) -> Arrays:
    """Return a vector as a model; of one predictor, if no model is given that it is like."""
    if like is None:
        return {"coef": theta[None, :-1].copy(), "intercept": theta[-1:].copy()}
    coef, intercept = like["coef"], like["intercept"]
    table = theta.reshape(len(coef), -1)
    made = {
        "coef": table[:, : coef.shape[1]].copy(),
        "intercept": table[:, -1].copy() if intercept.size else intercept,
    }
    return {name: made.get(name, array) for name, array in like.items()}


def is_coefficient(like: Arrays) -> npt.NDArray[np.bool_]:
    """Return which numbers of a model's vector the penalty is on: all but the intercepts."""
    return (
        to_vector({"coef": np.ones(like["coef"].shape), "intercept": np.zeros(like["intercept"].shape)}) > 0
    )


def class_weights(sums: Vector, how: Fit) -> Vector:
    """Return what a row of each class weighs: as much for each class, whatever its share in all silos."""
    if how.class_weight != "balanced" or not sums.all():
        return np.ones(len(sums))
    return np.asarray(sums.sum() / (len(sums) * sums), dtype=np.float64)


def row_weights(y: npt.NDArray[Any], how: Fit) -> npt.NDArray[np.float64] | None:
    """Return what each row weighs by the labels' shares in all silos; None where those are not known."""
    return None if how.label_weights is None else np.asarray(how.label_weights)[y.astype(np.int64)]
