"""FedNewton: federated linear models that end where pooling would."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.models.base import Arrays
from runtime.tabular.models.linear_model import (
    LARGEST_DENSE,
    Ask,
    LinearModel,
    from_vector,
    is_coefficient,
    to_vector,
)
from runtime.tabular.models.logistic import MODEL
from runtime.tabular.strategies.metric import Metric
from runtime.tabular.summed_loss import Curvature

Vector = npt.NDArray[np.float64]
SMALLEST_STEP: Final = 2.0**-20
LARGEST_LAST_STEP: Final = 1e-5
"""How far the last step may go: Newton's steps shrink quadratically, so its end is far closer than that."""

LARGEST_INEXACT_STEP: Final = 1e-7
"""The same of a step that goes by an earlier Hessian or by none: those shrink by a factor each."""

ENOUGH: Final = 6
"""So many Hessians are asked for one after the other: most tables need no more."""

FIRST: Final = 2
"""How many are asked for at the beginning where they are asked for sparingly; one more comes near the end."""

NEAR: Final = 0.05
"""How far a step goes near the end."""


@dataclass(frozen=True, eq=False)
class _Point:
    """A model that was accepted, its training loss, and the nodes whose loss that is."""

    theta: Vector
    loss: float
    nodes: frozenset[int]


def allowed_by_all(votes: Vector, members: int) -> float:
    """Return how many Hessians all clients let out, given the sum of their votes (LinearModel.fitting)."""
    return float(np.cumprod(votes >= members - 0.5).sum())


LONGEST_STEP: Final = 0.5
"""How much a step may change a typical mean of counts, as a logarithm: by a factor of 1.6."""


class FedNewton(FedAvg):
    """Newton's method on the sum of the clients' losses.

    Each client returns loss, gradient and Hessian of its own rows at the global model; their sums are those
    of the pooled rows, so the server's step is the very step that pooling would make, whatever the split
    (Ghosh et al., "Distributed Newton can communicate less and resist Byzantine workers", NeurIPS 2020,
    section 2; the damping is Boyd and Vandenberghe, "Convex Optimization", 9.5). The objective is that of
    scikit-learn's linear models: C times the summed loss plus half the squared coefficients.

    A step is kept only if the training loss did not rise: the next replies say so. Otherwise half of it is
    tried from the same place. Beyond 5,000 numbers no Hessian is asked for, and where rows are few for their
    columns, few or none: steps go by the last gradients then (L-BFGS: Nocedal and Wright, "Numerical
    optimization", 2006, 7.2). When the Newton decrement and the step are below their tolerances, that last
    step's end is the answer.

    Parameters
    ----------
    quorum
        How many clients a round needs.
    c
        Inverse strength of the L2 penalty; infinite without one.
    tolerance
        Newton decrement to stop at.
    cell_means
        Whether Cox's Hessian is asked for where updates are summed, too: it needs sums of each cell of time.
        Without it the same model is found by gradients, and has no standard errors.
    """

    def __init__(self, quorum: int, c: float, tolerance: float, *, cell_means: bool = False) -> None:
        super().__init__(min_train_nodes=quorum, min_evaluate_nodes=quorum, min_available_nodes=quorum)
        self._c, self.tolerance, self.cell_means = c, tolerance, cell_means
        self._model: LinearModel = MODEL
        self._like: Arrays | None = None
        self._sent: Vector | None = None
        self._base: _Point | None = None
        self._step: Vector | None = None
        self._held: Arrays = {}
        self._ask, self._curvatures = Ask.CURVATURE, 0
        self._summed, self._allowed = False, math.inf
        self._metric = Metric()
        self.decrement = math.inf
        self.converged = self.halted = False

    def learn(self, model: Any, *, summed: bool = False, allowed: float = math.inf) -> None:
        """Say what model is learnt.

        Parameters
        ----------
        summed
            Whether the server sees sums of the updates only.
        allowed
            How many Hessians the clients let out: if these are few, most steps go by gradients.
        """
        if isinstance(model, LinearModel):
            self._model, self._summed, self._allowed = model, summed, allowed

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every client for its curvature at the global model."""
        self._like = {name: array.numpy() for name, array in arrays.items()}
        self._sent = to_vector(self._like)
        self._ask = self._question()
        asked = ConfigRecord({**config, "ask": self._ask.value})
        if self._held:
            asked["hazards"] = list(self._model.hazards(self._held))
        messages = super().configure_train(server_round, arrays, asked, grid)
        for message in messages:
            message.metadata.message_type = "train.curvature"
        return messages

    def _question(self) -> Ask:
        """Choose what to ask for: the Hessian, unless it is too large or the rows are too few for another."""
        assert self._sent is not None and self._like is not None  # noqa: S101, PT018 - set by the caller
        if self._model.two_steps:
            if not self._held:
                return Ask.RISK
            if self.cell_means or not self._summed:
                return Ask.CURVATURE
            return Ask.GRADIENT if self._metric.dense else Ask.BOUND
        if len(self._sent) > LARGEST_DENSE:
            return Ask.GRADIENT
        near = self._step is not None and float(np.abs(self._step).max(initial=0.0)) < NEAR
        return Ask.CURVATURE if self._curvatures < self._hessians_by_now(near=near) else Ask.GRADIENT

    def _hessians_by_now(self, *, near: bool) -> float:
        """Return how many Hessians may have been asked for: of few, not all at once; of too few, none."""
        if self._allowed >= ENOUGH:
            return self._allowed
        few = min(self._allowed, FIRST + near)
        return few if few >= FIRST or self._model.quadratic else 0

    def update_like(self, arrays: ArrayRecord) -> ArrayRecord:
        """Return what a client's update must look like, given the global model and what it was asked for."""
        like = self._model.answer_like({name: array.numpy() for name, array in arrays.items()}, self._ask)
        return ArrayRecord({name: Array(array) for name, array in like.items()})

    def curvature_of(self, arrays: Arrays, sums: Arrays) -> Curvature | None:
        """Return loss, gradient and Hessian at a model, given sums of answers; None where it takes two."""
        return None if self._model.two_steps else self._model.curvature(to_vector(arrays), sums)

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002 - Flower's signature
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Judge the last step by its loss and take the next one."""
        valid, _ = self._check_and_log_replies(replies, is_train=True)
        if not valid or self._sent is None:
            return None, None
        sums = {
            name: np.sum([reply.content.array_records["arrays"][name].numpy() for reply in valid], axis=0)
            for name in valid[0].content.array_records["arrays"]
        }
        nodes = frozenset(reply.metadata.src_node_id for reply in valid)
        metrics = self.train_metrics_aggr_fn([reply.content for reply in valid], self.weighted_by_key)
        after = from_vector(self._next(sums, nodes), self._like)
        return ArrayRecord({name: Array(array) for name, array in after.items()}), metrics

    def _next(self, sums: dict[str, npt.NDArray[np.float64]], nodes: frozenset[int]) -> Vector:
        """Return the model to send next: a step on from the one sent, or half a step back from it."""
        assert self._sent is not None  # noqa: S101 - aggregate_train() has checked
        theta, sums = self._sent, {**self._held, **sums}
        self._held = {}
        found = self._model.curvature(theta, sums)
        self._curvatures += found.hessian is not None  # it has left the clients, whatever comes of the step
        scale, penalty = self._scale_and_penalty(theta)
        loss = scale * found.loss + float(penalty @ theta**2) / 2
        if self._rose(loss, nodes) and self._base is not None and self._step is not None:
            self._step = self._step / 2
            if np.abs(self._step).max() < SMALLEST_STEP:
                self.halted = True
                return self._base.theta
            return self._base.theta + self._step
        if self._ask is Ask.RISK:
            self._held = sums
            return theta
        gradient = scale * found.gradient + penalty * theta
        if found.hessian is not None:
            self._metric.take(theta, gradient, scale, found.hessian, penalty)
        elif found.bound is not None and not self._metric.dense:
            self._metric.take(theta, gradient, scale, found.bound, penalty, exact=False)
        else:
            self._metric.update(theta, gradient)
        self._base = _Point(theta, loss, nodes)
        step = -self._metric.solve(gradient)
        squared, size = float(-gradient @ step), float(np.abs(gradient) @ np.abs(step))
        if squared < -1e-9 * size:
            raise FedstackError(
                ExitCode.SECURE_AGGREGATION,
                f"The sum of the clients' updates is impossible: its Newton decrement is {squared:.6g}.",
                "Find the client that sent what no rows can give, then go on with --resume.",
            )
        step = step * self._shortened(step, found.hessian)
        self._step, self.decrement = step, math.sqrt(max(squared, 0.0))
        last = min(self.tolerance, LARGEST_LAST_STEP if found.hessian is not None else LARGEST_INEXACT_STEP)
        self.converged = self.decrement < self.tolerance and bool(np.abs(step).max(initial=0.0) < last)
        return np.asarray(theta + step, dtype=np.float64)

    def _shortened(self, step: Vector, hessian: npt.NDArray[np.float64] | None) -> float:
        """Return how much of a step is taken of a model whose means are exponentials.

        Newton's step from far away would make some means so large that clients refused the model. So what it
        changes in the predictors, as root mean square of rows weighed by their means, is bounded.
        """
        if not self._model.exponential:
            return 1.0
        squared = float(step @ step) if hessian is None else float(step @ hessian @ step / hessian[-1, -1])
        return LONGEST_STEP / max(LONGEST_STEP, math.sqrt(max(squared, 0.0)))

    def _scale_and_penalty(self, theta: Vector) -> tuple[float, Vector]:
        """Return what the losses weigh, and each number's penalty: intercepts have none."""
        on = np.ones(len(theta))
        if self._like is None:
            on[-1] = 0.0
        else:
            on[~is_coefficient(self._like)] = 0.0
        return (self._c, on) if math.isfinite(self._c) else (1.0, 0.0 * on)

    def _rose(self, loss: float, nodes: frozenset[int]) -> bool:
        """Compare losses, which can only be compared over the same clients."""
        if self._base is None or self._base.nodes != nodes:
            return False
        return not loss <= self._base.loss + 1e-12 * abs(self._base.loss)  # NaN rises

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the next round needs of the last ones, and the Hessian that errors are taken from."""
        held = {f"held.{name}": array for name, array in self._held.items()}
        if self._base is None or self._step is None:
            return held
        return {
            "theta": self._base.theta,
            "loss": np.array([self._base.loss]),
            "nodes": np.array(sorted(self._base.nodes), dtype=np.uint64),
            "step": self._step,
            "decrement": np.array([self.decrement]),
            "converged": np.array([self.converged]),
            "halted": np.array([self.halted]),
            "curvatures": np.array([self._curvatures]),
            **held,
            **self._metric.state(),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        self._held = {n.removeprefix("held."): array for n, array in state.items() if n.startswith("held.")}
        if "theta" in state:
            nodes = frozenset(int(node) for node in state["nodes"])
            self._base = _Point(state["theta"], float(state["loss"][0]), nodes)
            self._step, self._curvatures = state["step"], int(state["curvatures"][0])
            self.decrement = float(state["decrement"][0])
            self.converged, self.halted = bool(state["converged"][0]), bool(state["halted"][0])
            self._metric = Metric.of(state)
