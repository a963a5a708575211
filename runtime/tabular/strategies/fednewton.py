"""FedNewton: federated logistic regression that ends where pooling would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.models.logistic import from_vector, to_vector

Vector = npt.NDArray[np.float64]
SMALLEST_STEP: Final = 2.0**-20


@dataclass(frozen=True, eq=False)
class _Point:
    """A model that was accepted, its training loss, and the nodes whose loss that is."""

    theta: Vector
    loss: float
    nodes: frozenset[int]


class FedNewton(FedAvg):
    """Newton's method on the sum of the clients' losses.

    Each client returns loss, gradient and Hessian of its own rows at the global model; their sums are those
    of the pooled rows, so the server's step is the very step that pooling would make, whatever the split
    (Ghosh et al., "Distributed Newton can communicate less and resist Byzantine workers", NeurIPS 2020,
    section 2; the damping is Boyd and Vandenberghe, "Convex Optimization", 9.5). The objective is that of
    scikit-learn's LogisticRegression: C times the summed log loss plus half the squared coefficients.

    A step is kept only if the training loss did not rise: the next replies say so. Otherwise half of it is
    tried from the same place. When the Newton decrement is below the tolerance, the model is the answer and
    stays as it is.

    Parameters
    ----------
    quorum
        How many clients a round needs.
    c
        Inverse strength of the L2 penalty.
    tolerance
        Newton decrement to stop at. As the penalty's curvature is one, no coefficient is then further than
        about this from its place.
    """

    def __init__(self, quorum: int, c: float, tolerance: float) -> None:
        super().__init__(min_train_nodes=quorum, min_evaluate_nodes=quorum, min_available_nodes=quorum)
        self._c, self._tolerance = c, tolerance
        self._sent: Vector | None = None
        self._base: _Point | None = None
        self._step: Vector | None = None
        self.converged = False

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask every client for its curvature at the global model."""
        self._sent = to_vector({name: array.numpy() for name, array in arrays.items()})
        messages = super().configure_train(server_round, arrays, config, grid)
        for message in messages:
            message.metadata.message_type = "train.curvature"
        return messages

    def update_like(self, arrays: ArrayRecord) -> ArrayRecord:
        """Return what a client's update must look like, given the global model."""
        size = sum(array.numpy().size for array in arrays.values())
        return ArrayRecord(
            {
                "loss": Array(np.zeros(1)),
                "gradient": Array(np.zeros(size)),
                "hessian": Array(np.zeros((size, size))),
            }
        )

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
        return _record(self._next(sums, nodes)), metrics

    def _next(self, sums: dict[str, npt.NDArray[np.float64]], nodes: frozenset[int]) -> Vector:
        """Return the model to send next: a step on from the one sent, or half a step back from it."""
        assert self._sent is not None  # noqa: S101 - aggregate_train() has checked
        theta = self._sent
        penalty = np.append(np.ones(len(theta) - 1), 0.0)  # scikit-learn leaves the intercept free as well
        loss = self._c * float(sums["loss"][0]) + float(penalty @ theta**2) / 2
        if self._rose(loss, nodes) and self._base is not None and self._step is not None:
            self._step = self._step / 2
            if np.abs(self._step).max() < SMALLEST_STEP:
                self.converged = True
                return self._base.theta
            return self._base.theta + self._step
        self._base = _Point(theta, loss, nodes)
        gradient = self._c * sums["gradient"] + penalty * theta
        hessian = self._c * sums["hessian"] + np.diag(penalty)
        step = np.asarray(-np.linalg.lstsq(hessian, gradient, rcond=None)[0], dtype=np.float64)
        if (decrement := float(-gradient @ step)) < 0:
            raise FedstackError(
                ExitCode.SECURE_AGGREGATION,
                f"The sum of the clients' updates is impossible: its Newton decrement is {decrement:.6g}.",
                "Find the client that sent what no rows can give, then go on with --resume.",
            )
        self._step, self.converged = step, decrement < self._tolerance**2
        return theta if self.converged else theta + step

    def _rose(self, loss: float, nodes: frozenset[int]) -> bool:
        """Compare losses, which can only be compared over the same clients."""
        return self._base is not None and self._base.nodes == nodes and loss > self._base.loss * (1 + 1e-12)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the next round needs of the last ones."""
        if self._base is None or self._step is None:
            return {}
        return {
            "theta": self._base.theta,
            "loss": np.array([self._base.loss]),
            "nodes": np.array(sorted(self._base.nodes), dtype=np.uint64),
            "step": self._step,
            "converged": np.array([self.converged]),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        if state:
            nodes = frozenset(int(node) for node in state["nodes"])
            self._base = _Point(state["theta"], float(state["loss"][0]), nodes)
            self._step, self.converged = state["step"], bool(state["converged"][0])


def _record(theta: Vector) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in from_vector(theta).items()})
