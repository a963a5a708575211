"""The ClientApp: a thin adapter from Flower's messages to the model code.

It knows nothing of AWS nor of what carries its messages, and keeps nothing between messages but a cache of
its own data, so a client that was killed and started again goes on where the run is.
"""

from __future__ import annotations

import time
from pathlib import Path

import joblib
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from runtime.client import gains, gate, private
from runtime.client.request import Request
from runtime.task import metrics, models
from runtime.task.logistic_loss import LogisticLoss
from runtime.task.models.logistic import from_vector, to_vector
from runtime.task.value import measure

app = ClientApp(mods=[gate.guard])


@app.query("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Share the silo's size and the moments that the federated scaler is merged from."""
    asked = Request(message, context)
    prepared = asked.prepared()
    moments = ArrayRecord({k: Array(v) for k, v in prepared.moments().to_arrays().items()})
    content = RecordDict(
        {
            "moments": moments,
            "metrics": MetricRecord({"num-examples": prepared.original_rows}),
            "client": ConfigRecord({"name": asked.name}),
        }
    )
    return Message(content, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Fit the global model on the silo for a few iterations."""
    asked = Request(message, context)
    prepared, arrays = asked.prepared(), asked.arrays
    started = time.perf_counter()
    model, z = asked.model, models.standardise(prepared.train, asked.scaler)
    loss = metrics.log_loss(prepared.train.y, model.estimator(arrays, z.shape[1]).predict_proba(z)[:, 1])
    update = model.fit(arrays, z, prepared.train.y, asked.fit(prepared.original_rows))
    model.check(update, arrays)
    return _update(message, update, prepared.original_rows, loss, started)


@app.train("curvature")
def curvature(message: Message, context: Context) -> Message:
    """Return loss, gradient and Hessian of the global model on the silo: what FedNewton sums."""
    asked = Request(message, context)
    prepared, arrays = asked.prepared(), asked.arrays
    started = time.perf_counter()
    z = models.standardise(prepared.train, asked.scaler)
    own = LogisticLoss(z, prepared.train.y).curvature(to_vector(arrays))
    update = {"loss": np.array([own.loss]), "gradient": own.gradient, "hessian": own.hessian}
    return _update(message, update, prepared.original_rows, own.loss / len(prepared.train), started)


@app.query("prepare_private")
def prepare_private(message: Message, context: Context) -> Message:
    """Agree to a run with differential privacy; nothing of the rows is told."""
    asked = Request(message, context)
    return private.agree(message, context, asked.prepared().original_rows, asked.name)


@app.train("private")
def train_private(message: Message, context: Context) -> Message:
    """Fit the global model on the silo with differential privacy."""
    asked = Request(message, context)
    fitted, told = private.train(message, context, *asked.private_rows(), to_vector(asked.arrays))
    return private.reply(message, from_vector(fitted), told)


@app.train("private_curvature")
def private_curvature(message: Message, context: Context) -> Message:
    """Return gradient and Hessian of the global model on the silo with differential privacy."""
    asked = Request(message, context)
    return private.curvature(message, context, *asked.private_rows(), to_vector(asked.arrays))


@app.query("secure_advertise")
@app.query("secure_share")
@app.query("secure_confirm")
@app.query("secure_unmask")
def secure_step(message: Message, context: Context) -> Message:
    """Take a step of secure aggregation."""
    return Message(RecordDict({"secure": gate.step(message, context)}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the global model on the silo's validation rows, or on its training rows if it keeps none."""
    asked = Request(message, context)
    prepared = asked.prepared()
    rows = prepared.validation if len(prepared.validation) else prepared.train
    probability = asked.fitted().predict_proba(rows.x)[:, 1]
    measured = MetricRecord({"num-examples": len(rows), **metrics.scores(rows.y, probability)})
    return Message(RecordDict({"metrics": measured}), reply_to=message)


@app.query("value")
def value(message: Message, context: Context) -> Message:
    """Say what the federated model and one of this silo alone score on the rows that it keeps back."""
    asked = Request(message, context)
    rounds, how = int(asked.number("rounds")), asked.fit_alone()
    told = measure(asked.prepared(), asked.fitted(), asked.model, how, rounds)
    gains.keep(told, context)
    return Message(RecordDict({"metrics": MetricRecord(dict(told))}), reply_to=message)


@app.query("finish")
def finish(message: Message, context: Context) -> Message:
    """Keep the final global model where this node keeps models, if it does."""
    if folder := context.node_config.get("model-dir"):
        path = Path(str(folder)) / "model.joblib"
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(Request(message, context).fitted(), path)
    return Message(RecordDict({"metrics": MetricRecord({"finished": 1})}), reply_to=message)


def _update(message: Message, update: models.Arrays, rows: int, loss: float, started: float) -> Message:
    """Reply with an update, how many rows it comes from, the global model's loss on them, and the time."""
    seconds = time.perf_counter() - started
    content = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(np.asarray(array)) for name, array in update.items()}),
            "metrics": MetricRecord({"num-examples": rows, "train-seconds": seconds, "train-loss": loss}),
        }
    )
    return Message(content, reply_to=message)
