"""Flower's strategies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from flwr.serverapp.strategy import FedAvg, Strategy


def _fedavg(quorum: int) -> Strategy:
    return FedAvg(min_train_nodes=quorum, min_evaluate_nodes=quorum, min_available_nodes=quorum)


STRATEGIES: Final[Mapping[str, Callable[[int], Strategy]]] = {"fedavg": _fedavg}
"""Each makes a strategy for the number of clients that a round needs."""
