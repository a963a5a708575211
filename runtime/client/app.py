"""The ClientApp: a thin adapter from Flower's messages to the model code.

It knows nothing of AWS nor of what carries its messages, and keeps nothing between messages but a cache of
its own data, so a client that was killed and started again goes on where the run is.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import joblib
import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from runtime.client import gate, private, silo
from runtime.contract import ExitCode, FedstackError
from runtime.task import metrics, model
from runtime.task.data import Dataset
from runtime.task.moments import Scaler
from runtime.task.preparation import Prepared
from runtime.task.updates import check_update

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
    update, loss = model.fit(arrays, _scaler(config), prepared.train, _fit(config))
    check_update(update, arrays)
    return _update(message, update, prepared.original_rows, loss, started)


@app.train("curvature")
def curvature(message: Message, context: Context) -> Message:
    """Return loss, gradient and Hessian of the global model on the silo: what FedNewton sums."""
    prepared, arrays, config = _prepared(message, context), _arrays(message), _config(message)
    started = time.perf_counter()
    own = model.curvature(arrays, _scaler(config), prepared.train)
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
    fitted, told = private.train(message, context, z, y, model.to_vector(arrays))
    return private.reply(message, model.from_vector(fitted), told)


@app.train("private_curvature")
def private_curvature(message: Message, context: Context) -> Message:
    """Return gradient and Hessian of the global model on the silo with differential privacy."""
    z, y, arrays = _private_rows(message, context)
    return private.curvature(message, context, z, y, model.to_vector(arrays))


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
    measured = MetricRecord({"num-examples": len(rows), **_score(message, rows)})
    return Message(RecordDict({"metrics": measured}), reply_to=message)


@app.query("finish")
def finish(message: Message, context: Context) -> Message:
    """Keep the final global model where this node keeps models, if it does."""
    if folder := context.node_config.get("model-dir"):
        path = Path(str(folder)) / "model.joblib"
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump(model.pipeline(_arrays(message), _scaler(_config(message))), path)
    return Message(RecordDict({"metrics": MetricRecord({"finished": 1})}), reply_to=message)


def _update(message: Message, update: model.Arrays, rows: int, loss: float, started: float) -> Message:
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
    return silo.prepared(
        _place(context), _number(config, "validation"), bool(config["smote"]), int(_number(config, "seed"))
    )


def _private_rows(
    message: Message, context: Context
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], model.Arrays]:
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
    scaler = _scaler(config)
    train = _prepared(message, context).train
    return (np.log1p(train.x) - scaler.mean) / scaler.scale, train.y, _arrays(message)


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


def _arrays(message: Message) -> model.Arrays:
    return {name: array.numpy() for name, array in message.content.array_records["arrays"].items()}


def _scaler(config: ConfigRecord) -> Scaler:
    return Scaler(np.asarray(config["scaler-mean"]), np.asarray(config["scaler-scale"]))


def _fit(config: ConfigRecord) -> model.Fit:
    weight: Literal["none", "balanced"] = "balanced" if config["class-weight"] == "balanced" else "none"
    mu = _number(config, "proximal-mu") if "proximal-mu" in config else 0.0
    return model.Fit(int(_number(config, "iterations")), _number(config, "c"), weight, mu)


def _number(config: ConfigRecord, name: str) -> float:
    value = config[name]
    if not isinstance(value, (int, float)):
        raise FedstackError(ExitCode.CONFIG, f"The server's {name} is {value!r}.", "Deploy the same release.")
    return value


def _score(message: Message, rows: Dataset) -> dict[str, float]:
    fitted = model.pipeline(_arrays(message), _scaler(_config(message)))
    return metrics.scores(rows.y, fitted.predict_proba(rows.x)[:, 1])
