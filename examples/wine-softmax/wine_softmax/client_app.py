"""The client: a few iterations of softmax regression on every n-th wine."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from wine_softmax import task

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Fit the global model on this client's rows."""
    x, y = own_rows(context)
    regression = task.model(
        message.content["arrays"].to_numpy_ndarrays(), int(context.run_config["local-iterations"])
    )
    arrays = ArrayRecord(task.fit(regression, x, y))
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": len(x)})})
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the global model on this client's rows."""
    x, y = own_rows(context)
    scores = task.scores(task.model(message.content["arrays"].to_numpy_ndarrays(), 1), x, y)
    metrics = MetricRecord({"num-examples": len(x), **scores})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def own_rows(context: Context) -> tuple[task.Array, task.Array]:
    """Return the rows of this client's place among all."""
    return task.part(int(context.node_config["partition-id"]), int(context.node_config["num-partitions"]))
