"""Flower's strategies that begin with the mean of all updates, given that mean in place of the updates.

Each is Flower's own. `Mean` stands between it and FedAvg, whose `aggregate_train` it calls first.
"""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower

from runtime.server.aggregation.replies import arrays_of, metrics_of


class Mean(flower.FedAvg):
    """FedAvg; the mean of one reply, or of one that stands for several, is that reply as it is."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the one reply's arrays, without a copy; of several, what FedAvg makes of them."""
        all_ = list(replies)
        if len(all_) != 1 or all_[0].has_error():
            return super().aggregate_train(server_round, all_)
        (arrays,), told = arrays_of(all_[0].content).values(), RecordDict({**metrics_of(all_[0].content)})
        return arrays, self.train_metrics_aggr_fn([told], self.weighted_by_key)


class FedAvgM(flower.FedAvgM, Mean):
    """FedAvg with momentum at the server."""


class FedProx(flower.FedProx, Mean):
    """FedAvg of clients that stay near the global model."""


class FedAdagrad(flower.FedAdagrad, Mean):
    """Adagrad at the server."""


class FedAdam(flower.FedAdam, Mean):
    """Adam at the server."""


class FedYogi(flower.FedYogi, Mean):
    """Yogi at the server."""
