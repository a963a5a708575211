"""The ClientApp: a thin adapter from Flower's messages to the model code.

It knows nothing of AWS nor of what carries its messages, and keeps nothing between messages but a cache of
its own data, so a client that was killed and started again goes on where the run is.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, Literal

import joblib
import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.pipeline import Pipeline

from runtime.client import gains, gate, private, silo
from runtime.contract import ExitCode, FedstackError
from runtime.task import metrics, models
from runtime.task.logistic_loss import LogisticLoss
from runtime.task.models.logistic import from_vector, to_vector
from runtime.task.moments import Scaler
from runtime.task.preparation import Prepared
from runtime.task.value import measure

MOST_ROUNDS: Final = 10_000
"""Seeds of one run and the next do not meet."""

app = ClientApp(mods=[gate.guard])


@app.query("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Share the silo's size and the moments that the federated scaler is merged from."""
    prepared = _prepared(message, context)
    moments = ArrayRecord({k: Array(v) for k, v in prepared.moments().to_arrays().items()})
    content = RecordDict(
        {
            "moments": moments,
            "metrics": MetricRecord({"num-examples": prepared.original_rows}),
            "client": ConfigRecord({"name": _name(context)}),
        }
    )
    return Message(content, reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Fit the global model on the silo for a few iterations."""
    prepared, arrays, config = _prepared(message, context), _arrays(message), _config(message)
    started = time.perf_counter()
    model, z = _model(config), models.standardise(prepared.train, _scaler(config))
    loss = metrics.log_loss(prepared.train.y, model.estimator(arrays, z.shape[1]).predict_proba(z)[:, 1])
    update = model.fit(arrays, z, prepared.train.y, _fit(config, prepared.original_rows))
    model.check(update, arrays)
    return _update(message, update, prepared.original_rows, loss, started)


@app.train("curvature")
def curvature(message: Message, context: Context) -> Message:
    """Return loss, gradient and Hessian of the global model on the silo: what FedNewton sums."""
    prepared, arrays, config = _prepared(message, context), _arrays(message), _config(message)
    started = time.perf_counter()
    z = models.standardise(prepared.train, _scaler(config))
    own = LogisticLoss(z, prepared.train.y).curvature(to_vector(arrays))
    update = {"loss": np.array([own.loss]), "gradient": own.gradient, "hessian": own.hessian}
    return _update(message, update, prepared.original_rows, own.loss / len(prepared.train), started)


@app.query("prepare_private")
def prepare_private(message: Message, context: Context) -> Message:
    """Agree to a run with differential privacy; nothing of the rows is told."""
    return private.agree(message, context, _prepared(message, context).original_rows, _name(context))


@app.train("private")
def train_private(message: Message, context: Context) -> Message:
    """Fit the global model on the silo with differential privacy."""
    z, y, arrays = _private_rows(message, context)
    fitted, told = private.train(message, context, z, y, to_vector(arrays))
    return private.reply(message, from_vector(fitted), told)


@app.train("private_curvature")
def private_curvature(message: Message, context: Context) -> Message:
    """Return gradient and Hessian of the global model on the silo with differential privacy."""
    z, y, arrays = _private_rows(message, context)
    return private.curvature(message, context, z, y, to_vector(arrays))


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
    prepared = _prepared(message, context)
    rows = prepared.validation if len(prepared.validation) else prepared.train
    probability = _fitted(message, context).predict_proba(rows.x)[:, 1]
    measured = MetricRecord({"num-examples": len(rows), **metrics.scores(rows.y, probability)})
    return Message(RecordDict({"metrics": measured}), reply_to=message)


@app.query("value")
def value(message: Message, context: Context) -> Message:
    """Say what the federated model and one of this silo alone score on the rows that it keeps back."""
    config, federated = _config(message), _fitted(message, context)
    rounds, how = int(_number(config, "rounds")), _fit_alone(config)
    told = measure(_prepared(message, context), federated, _model(config), how, rounds)
    gains.keep(told, context)
    return Message(RecordDict({"metrics": MetricRecord(dict(told))}), reply_to=message)


@app.query("finish")
def finish(message: Message, context: Context) -> Message:
    """Keep the final global model where this node keeps models, if it does."""
    if folder := context.node_config.get("model-dir"):
        path = Path(str(folder)) / "model.joblib"
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(_fitted(message, context), path)
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


def _prepared(message: Message, context: Context) -> Prepared:
    config = _config(message)
    own = silo.load(_place(context)).schema
    if own.digest() != config["schema"]:
        raise FedstackError(
            ExitCode.DATA,
            f"The server's schema is not this client's {own.name!r}.",
            "Put the same schema.json beside the data on both sides.",
        )
    return silo.prepared(
        _place(context), _number(config, "validation"), bool(config["smote"]), int(_number(config, "seed"))
    )


def _private_rows(
    message: Message, context: Context
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], models.Arrays]:
    """Return all of the silo's rows, standardised, and the global model.

    All of them, and none made from others: which rows are kept back, and SMOTE's, depend on every row.
    """
    config = _config(message)
    if _number(config, "validation") or config["smote"] or config["class-weight"] != "none":
        raise FedstackError(
            ExitCode.CONFIG,
            "Differential privacy was asked for together with validation rows, SMOTE or class weights.",
            "Deploy the same release on both sides.",
        )
    train = _prepared(message, context).train
    return models.standardise(train, _scaler(config)), train.y, _arrays(message)


def _place(context: Context) -> str:
    """Say where this node's data lies: named by the node, or numbered within the run's folder of silos."""
    if place := context.node_config.get("data"):
        return str(place)
    if (folder := context.run_config.get("silos")) and "partition-id" in context.node_config:
        return str(Path(str(folder)) / f"{_name(context)}.csv")
    raise FedstackError(
        ExitCode.CONFIG,
        "This node names no data.",
        "Set data=PATH in its node config, or silos=FOLDER in the run's.",
    )


def _name(context: Context) -> str:
    return str(context.node_config.get("name") or f"silo-{context.node_config.get('partition-id')}")


def _config(message: Message) -> ConfigRecord:
    return message.content.config_records["config"]


def _arrays(message: Message) -> models.Arrays:
    return {name: array.numpy() for name, array in message.content.array_records["arrays"].items()}


def _scaler(config: ConfigRecord) -> Scaler:
    return Scaler(np.asarray(config["scaler-mean"]), np.asarray(config["scaler-scale"]))


def _fit(config: ConfigRecord, rows: int) -> models.Fit:
    weight: Literal["none", "balanced"] = "balanced" if config["class-weight"] == "balanced" else "none"
    mu = _number(config, "proximal-mu") if "proximal-mu" in config else 0.0
    return models.Fit(
        iterations=int(_number(config, "iterations")),
        c=_number(config, "c"),
        class_weight=weight,
        mu=mu,
        seed=MOST_ROUNDS * int(_number(config, "seed")) + int(_number(config, "server-round")),
        share=min(1.0, rows / max(1.0, _number(config, "rows"))),
    )


def _fit_alone(config: ConfigRecord) -> models.Fit:
    """Return how this silo would fit a model without the others."""
    return models.Fit(
        iterations=int(_number(config, "iterations")),
        c=_number(config, "c"),
        class_weight="balanced" if config["class-weight"] == "balanced" else "none",
        seed=int(_number(config, "seed")),
    )


def _number(config: ConfigRecord, name: str) -> float:
    value = config[name]
    if not isinstance(value, (int, float)):
        raise FedstackError(ExitCode.CONFIG, f"The server's {name} is {value!r}.", "Deploy the same release.")
    return value


def _model(config: ConfigRecord) -> models.Model:
    return models.load(str(config["model"]))


def _fitted(message: Message, context: Context) -> Pipeline:
    """Return the global model that a message carries."""
    schema, config = silo.load(_place(context)).schema, _config(message)
    return models.as_pipeline(_model(config), _arrays(message), _scaler(config), schema)
