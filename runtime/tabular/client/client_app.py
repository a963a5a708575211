"""The ClientApp: a thin adapter from Flower's messages to the model code.

It knows nothing of AWS nor of what carries its messages, and keeps nothing between messages but a cache of
its own data, so a client that was killed and started again goes on where the run is.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import joblib
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from runtime.client import secure_aggregation
from runtime.client.quiet_mod import quiet
from runtime.contract import ExitCode, FedstackError
from runtime.messages import ARRAYS, METRICS, SECURE
from runtime.tabular import metrics, models, task_scores
from runtime.tabular.client import client_gain, histograms, private_fit
from runtime.tabular.client.request import Request
from runtime.tabular.client.tabular_mod import TabularMod
from runtime.tabular.client_gain import measure, with_enough_rows
from runtime.tabular.models.linear_model import LinearModel, from_vector, to_vector

app = ClientApp(mods=[quiet, TabularMod()])


@app.query("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Share the silo's size and the moments that the federated scaler is merged from."""
    request = Request(message, context)
    prepared = request.prepared()
    request.declare(prepared)
    content = RecordDict(
        {
            "moments": _record(prepared.moments().to_arrays()),
            "labels": _record({"sums": request.label_sums(prepared), "votes": request.votes(prepared)}),
            METRICS: MetricRecord({"num-examples": prepared.original_rows}),
            "client": ConfigRecord({"name": request.name}),
        }
    )
    return Message(content, reply_to=message)


@app.query("feature_sums")
def feature_sums(message: Message, context: Context) -> Message:
    """Sum each feature over the silo's rows, and how many rows have each label, or the labels."""
    request = Request(message, context)
    prepared = request.prepared()
    request.declare(prepared)
    sums = {
        "sums": prepared.transformed_rows().sum(axis=0),
        "labels": request.label_sums(prepared),
        "votes": request.votes(prepared),
    }
    return _sums(message, sums, prepared.original_rows)


@app.query("feature_squares")
def feature_squares(message: Message, context: Context) -> Message:
    """Sum the squared distances of each feature from the mean of all clients' rows.

    By way of the silo's own moments: next to a mean of the server's choice each row would be rounded.
    """
    request = Request(message, context)
    prepared = request.prepared()
    request.declare(prepared)
    own = prepared.moments()
    away = own.mean - np.asarray(request.config["feature-means"])
    return _sums(message, {"squares": own.m2 + own.observed * away**2}, prepared.original_rows)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Fit the global model on the silo for a few iterations."""
    request = Request(message, context)
    prepared, arrays = request.prepared(), request.arrays
    started = time.perf_counter()
    model, z = request.model, request.standardised(prepared.train)
    how = request.fit(prepared.original_rows).over(prepared.train.exposure)
    loss, declared = model.losses(arrays, z, prepared.train.y, how)
    request.declare(prepared, loss=declared, **model.disclosed(arrays, z, prepared.train.y, how))
    update = model.fit(arrays, z, prepared.train.y, how)
    model.check(update, arrays)
    return _update(message, update, prepared.original_rows, loss, started)


@app.train("curvature")
def curvature(message: Message, context: Context) -> Message:
    """Return loss, gradient and Hessian of the global model on the silo: what FedNewton sums."""
    request = Request(message, context)
    prepared, model = request.prepared(), request.model
    if not isinstance(model, LinearModel):
        raise FedstackError(
            ExitCode.CONFIG, "This model has no curvature to ask for.", "Leave out --strategy."
        )
    started = time.perf_counter()
    z, how = request.standardised(prepared.train), request.fit(prepared.original_rows)
    how = how.over(prepared.train.exposure)
    update, loss, told = model.answer(request.arrays, z, prepared.train.y, how, request.question)
    request.declare(prepared, **told)
    return _update(message, update, prepared.original_rows, loss, started)


@app.train("bins")
def bins(message: Message, context: Context) -> Message:
    """Count the silo's rows up to each point of a grid: what the bins of trees are chosen by."""
    request = Request(message, context)
    prepared, started = request.prepared(), time.perf_counter()
    return _update(message, histograms.bins(request, prepared), prepared.original_rows, math.log(2), started)


@app.train("histograms")
def tree_histograms(message: Message, context: Context) -> Message:
    """Sum gradients and Hessians over the bins of the nodes that are asked for: what trees are grown from."""
    request = Request(message, context)
    prepared, started = request.prepared(), time.perf_counter()
    update, loss = histograms.sums(request, prepared)
    return _update(message, update, prepared.original_rows, loss, started)


@app.query("prepare_private")
def prepare_private(message: Message, context: Context) -> Message:
    """Agree to a run with differential privacy; nothing of the rows is told but how many there are."""
    request = Request(message, context)
    return private_fit.agree(message, context, len(request.all_rows()), request.name)


@app.train("private")
def train_private(message: Message, context: Context) -> Message:
    """Fit the global model on the silo with differential privacy."""
    request = Request(message, context)
    fitted, told = private_fit.train(message, context, *request.private_rows(), to_vector(request.arrays))
    return private_fit.reply(message, from_vector(fitted), told)


@app.train("private_curvature")
def private_curvature(message: Message, context: Context) -> Message:
    """Return gradient and Hessian of the global model on the silo with differential privacy."""
    request = Request(message, context)
    return private_fit.curvature(message, context, *request.private_rows(), to_vector(request.arrays))


@app.query("secure_keys")
@app.query("secure_members")
@app.query("secure_unmask")
@app.query("secure_group")
def secure_step(message: Message, context: Context) -> Message:
    """Take a step of secure aggregation."""
    return Message(RecordDict({SECURE: secure_aggregation.step(message, context)}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the global model on the silo's validation rows, or on its training rows if it keeps none."""
    request = Request(message, context)
    prepared = request.prepared()
    rows = prepared.validation if len(prepared.validation) else prepared.train
    z = request.standardised(rows)
    how = request.fit(prepared.original_rows).over(rows.exposure)
    request.declare(prepared, loss=request.model.losses(request.arrays, z, rows.y, how)[1])
    predicted = models.predict(request.model, request.arrays, request.scaler, rows)
    scores = metrics.with_enough_rows(task_scores.scores(rows, predicted), rows.strata(), request.least_rows)
    measured = MetricRecord({"num-examples": len(rows), **scores})
    return Message(RecordDict({METRICS: measured}), reply_to=message)


@app.query("client_gain")
def client_gains(message: Message, context: Context) -> Message:
    """Say what the federated model and one of this silo alone score on the rows that it keeps back."""
    request = Request(message, context)
    prepared, rounds, how = request.prepared(), int(request.number("rounds")), request.fit_alone()
    federated, z = request.fitted(), request.standardised(prepared.train)
    at_hand = request.fit_alone().over(prepared.train.exposure)
    request.declare(prepared, loss=request.model.losses(request.arrays, z, prepared.train.y, at_hand)[1])
    told = measure(prepared, federated, request.model, how, rounds)
    client_gain.keep(told, prepared.validation.schema.task, context)
    leaves = with_enough_rows(told, prepared.validation, request.least_rows)
    return Message(RecordDict({METRICS: MetricRecord(dict(leaves))}), reply_to=message)


@app.query("finish")
def finish(message: Message, context: Context) -> Message:
    """Keep the final global model where this node keeps models, if it does."""
    if folder := context.node_config.get("model-dir"):
        path = Path(str(folder)) / "model.joblib"
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(Request(message, context).fitted(), path)
    return Message(RecordDict({METRICS: MetricRecord({"finished": 1})}), reply_to=message)


def _sums(message: Message, arrays: models.Arrays, rows: int) -> Message:
    """Reply with sums over the rows."""
    told = MetricRecord({"num-examples": rows})
    return Message(RecordDict({ARRAYS: _record(arrays), METRICS: told}), reply_to=message)


def _update(message: Message, update: models.Arrays, rows: int, loss: float, started: float) -> Message:
    """Reply with an update, how many rows it comes from, the global model's loss on them, and the time."""
    seconds = time.perf_counter() - started
    told = MetricRecord({"num-examples": rows, "train-seconds": seconds, "train-loss": loss})
    return Message(RecordDict({ARRAYS: _record(update), METRICS: told}), reply_to=message)


def _record(arrays: models.Arrays) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})
