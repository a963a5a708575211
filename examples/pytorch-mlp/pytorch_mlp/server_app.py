"""The server: one scaler out of everybody's moments, then federated averaging, judged on its own test set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from pytorch_mlp import task

app = ServerApp()


class WithScaler(FedAvg):
    """Federated averaging whose messages carry the scaler of all clients' rows."""

    def __init__(self, scaler: ArrayRecord) -> None:
        super().__init__(fraction_evaluate=0.0)
        self._scaler = scaler

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Add the scaler to what every client is sent."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        content = RecordDict({**messages[0].content, "scaler": self._scaler})
        return [Message(content, m.metadata.dst_node_id, m.metadata.message_type) for m in messages]


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train the network and save its weights."""
    config = context.run_config
    mean, scale = merged(grid)
    net = task.network(len(mean), int(config["hidden"]), int(config["seed"]))
    test = task.load(str(config["test-data"]), str(config["label"])) if config["test-data"] else None

    def evaluate(_: int, arrays: ArrayRecord) -> MetricRecord | None:
        if test is None:
            return None
        net.load_state_dict(arrays.to_torch_state_dict())
        x, y = test
        return MetricRecord(task.scores(net, ((x - mean) / scale).astype(np.float32), y))

    result = WithScaler(ArrayRecord([mean, scale])).start(
        grid=grid,
        initial_arrays=ArrayRecord(net.state_dict()),
        num_rounds=int(config["num-server-rounds"]),
        evaluate_fn=evaluate,
    )
    net.load_state_dict(result.arrays.to_torch_state_dict())
    torch.save(net.state_dict(), "model.pt")


def merged(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Ask for everybody's moments and return mean and deviation of all rows, shape (d,) each."""
    content = RecordDict()
    sent = [Message(content, node, "query.moments") for node in grid.get_node_ids()]
    replies = [reply.content for reply in grid.send_and_receive(sent) if not reply.has_error()]
    weights = np.array([reply["metrics"]["num-examples"] for reply in replies], dtype=np.float64)
    moments = np.array([reply["moments"].to_numpy_ndarrays() for reply in replies])
    mean, square = np.einsum("c,cmd->md", weights / weights.sum(), moments)
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    return mean, np.where(deviation > 0, deviation, 1.0)
