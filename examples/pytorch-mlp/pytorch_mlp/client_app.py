"""The client: moments of its features once, then the network trained on its rows."""

from __future__ import annotations

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from pytorch_mlp import task

app = ClientApp()


@app.query("moments")
def moments(message: Message, context: Context) -> Message:
    """Return mean and mean square of each feature: averaged over all clients they give one scaler."""
    x, _ = own_rows(context)
    arrays = ArrayRecord([x.mean(axis=0, dtype=np.float64), (x.astype(np.float64) ** 2).mean(axis=0)])
    content = RecordDict({"moments": arrays, "metrics": MetricRecord({"num-examples": len(x)})})
    return Message(content, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the global network for a few epochs."""
    config = context.run_config
    x, y = own_rows(context)
    mean, scale = message.content["scaler"].to_numpy_ndarrays()
    net = task.network(x.shape[1], int(config["hidden"]), int(config["seed"]))
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss = task.fit(
        net,
        ((x - mean) / scale).astype(np.float32),
        y,
        epochs=int(config["local-epochs"]),
        batch_size=int(config["batch-size"]),
        learning_rate=float(config["learning-rate"]),
        seed=int(message.content["config"]["server-round"]),
    )
    metrics = MetricRecord({"num-examples": len(x), "train_loss": loss})
    content = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics})
    return Message(content, reply_to=message)


def own_rows(context: Context) -> tuple[task.Array, task.Array]:
    """Return this client's features and labels."""
    return task.load(str(context.node_config["data"]), str(context.run_config["label"]))
