"""Boosted trees that are grown over all silos at once, from summed histograms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from runtime.contract import ExitCode, FedstackError
from runtime.messages import MessageType
from runtime.tabular.trees.boosting import STEPS_A_ROUND, Boosting
from runtime.tabular.trees.histograms import UNIT
from runtime.updates import UpdateRefusedError

SPENT: Final = "as many numbers had left as the rows have cells"


class Histogram(FedAvg):
    """Gradient boosting whose every split is chosen from the histograms of all rows.

    Each client sums gradients and Hessians of its rows over bins that all share; the sums over clients are
    those of the pooled rows, to the last bit, so the trees are the pooled ones whatever the split. A step is
    the mean of some trees of three levels that grow side by side, each from an eighth of the features; all
    nodes of a level share a message, and leaves need none. A round is three steps.

    Parameters
    ----------
    quorum
        How many clients a round needs.
    c
        Inverse strength of the L2 penalty on leaves.
    eta
        Part of its own best step that a step goes.
    min_rows
        Rows that a leaf has at least, of all clients together; no owner's `min_rows` may be more.
    bins
        Bins of a feature at most; half as many where few rows let few numbers leave.
    """

    def __init__(self, quorum: int, c: float, eta: float, min_rows: int, bins: int) -> None:
        super().__init__(min_train_nodes=quorum, min_evaluate_nodes=quorum, min_available_nodes=quorum)
        self._boosting = Boosting(1 / c, eta, min_rows, bins)
        self._nodes: frozenset[int] | None = None
        self.unfinished = False
        self.stopped: str | None = None

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for counts, until there are bins, and then for the histograms of the next level."""
        known = {name: array.numpy() for name, array in arrays.items()} if "base" in arrays else None
        rows, seed = int(config["rows"]), int(config["seed"])  # type: ignore[arg-type]
        self._boosting.begin(rows, len(config["scaler-mean"]), seed, known)  # type: ignore[arg-type]
        sketch, question = self._boosting.question()
        if sketch is not None:
            kind, asked = MessageType.BINS, sketch.to_config()
        else:
            assert question is not None  # noqa: S101 - one of them is asked
            assert self._boosting.bins is not None  # noqa: S101 - the bins come first
            kind, asked = MessageType.HISTOGRAMS, {**self._boosting.bins.to_config(), **question.to_config()}
        told = ConfigRecord({**config, **asked})
        messages = list(super().configure_train(server_round, self._record(), told, grid))
        for message in messages:
            message.metadata.message_type = kind.value
        return messages

    def update_like(self, _: ArrayRecord) -> ArrayRecord:
        """Return what a client's answer to the last question must look like."""
        return ArrayRecord({name: Array(np.zeros(size)) for name, size in self._boosting.sizes().items()})

    def check(self, arrays: Mapping[str, npt.NDArray[Any]], rows: int) -> None:
        """Refuse an answer that no rows can give, or whose guard did not hold: that is noise."""
        if "counts" in arrays:
            whole = np.concatenate([arrays["counts"], arrays["positives"]])
            if not ((whole >= 0) & (whole <= rows) & (whole == np.rint(whole))).all():
                raise UpdateRefusedError(f"its counts are not those of {rows} rows")
            return
        for name, least, most in (("gradients", -rows, rows), ("weights", 0, rows / 4)):
            units, room = arrays[name] / UNIT, UNIT * rows
            if not ((arrays[name] >= least - room) & (arrays[name] <= most + room)).all():
                raise UpdateRefusedError(f"{name} of {rows} rows are from {least:g} to {most:g}")
            if (units != np.rint(units)).any():
                raise UpdateRefusedError(f"{name} are not whole multiples of {UNIT:g}")

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002 - Flower's signature
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Take the sums; return the model as it then is."""
        valid, _ = self._check_and_log_replies(replies, is_train=True)
        if not valid:
            return None, None
        nodes = frozenset(reply.metadata.src_node_id for reply in valid)
        if self._nodes not in (None, nodes):
            raise FedstackError(
                ExitCode.QUORUM,
                "The clients whose rows are summed are not those with which the trees began.",
                "Run again, without --resume: all of a run's trees are grown from the same rows.",
            )
        self._nodes = nodes
        self._boosting.take(
            {
                name: np.sum([reply.content.array_records["arrays"][name].numpy() for reply in valid], axis=0)
                for name in valid[0].content.array_records["arrays"]
            }
        )
        self.stopped = SPENT if self._boosting.between_steps and self._boosting.spent else None
        whole = self._boosting.between_steps and self._boosting.steps > 0
        self.unfinished = not whole or (self._boosting.steps % STEPS_A_ROUND != 0 and self.stopped is None)
        metrics = self.train_metrics_aggr_fn([reply.content for reply in valid], self.weighted_by_key)
        return self._record(), metrics

    def _record(self) -> ArrayRecord:
        return ArrayRecord({name: Array(np.asarray(array)) for name, array in self._boosting.arrays.items()})

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the next round needs of the last ones."""
        if self._nodes is None:
            return {}
        return {
            **self._boosting.state(),
            "nodes": np.array(sorted(self._nodes), dtype=np.uint64),
            "spent": np.array([self.stopped is not None]),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a state."""
        if state:
            self._boosting.restore(state)
            self._nodes = frozenset(int(node) for node in state["nodes"])
            self.stopped = SPENT if state["spent"][0] else None
