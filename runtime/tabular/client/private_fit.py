"""The client's answers under differential privacy: each is paid for first and noisy when it leaves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

from runtime.client.privacy_policy import PrivacyPolicy
from runtime.contract import ExitCode, FedstackError
from runtime.privacy.accountant import Spend
from runtime.privacy.budget import Spent
from runtime.privacy.mechanism import PrivateSilo
from runtime.tabular.client.request import number, terms_of

Vector = npt.NDArray[np.float64]


def agree(message: Message, context: Context, rows: int, name: str) -> Message:
    """Say before the run whether the budget is enough for all of it, without spending anything."""
    config = message.content.config_records["config"]
    asked = Spend(terms_of(message).noise_multiplier, _releases(config, "privacy-releases"))
    told = PrivacyPolicy.of(context).budget().check(_run(config), asked)
    content = RecordDict(
        {
            "metrics": MetricRecord({"num-examples": rows, **_told(told)}),
            "client": ConfigRecord({"name": name}),
        }
    )
    return Message(content, reply_to=message)


def train(
    message: Message, context: Context, z: Vector, y: npt.NDArray[np.int64], start: Vector
) -> tuple[Vector, dict[str, Any]]:
    """Fit on the silo with noisy gradients.

    Returns
    -------
    Vector, dict
        The silo's model and what the answer says beside it.
    """
    config, started = message.content.config_records["config"], time.perf_counter()
    steps, mu = _releases(config, "iterations"), 0.0
    if "proximal-mu" in config:
        mu = number(config, "proximal-mu")
    silo = PrivateSilo(z, y, terms_of(message))
    told = _charge(message, context, steps)
    fitted = silo.fit(start, iterations=steps, c=number(config, "c"), mu=mu)
    return fitted, _metrics(len(y), told, started)


def curvature(
    message: Message, context: Context, z: Vector, y: npt.NDArray[np.int64], theta: Vector
) -> Message:
    """Return the silo's noisy gradient and Hessian."""
    started = time.perf_counter()
    silo = PrivateSilo(z, y, terms_of(message))
    told = _charge(message, context, 1)
    gradient, hessian = silo.curvature(theta)
    return reply(message, {"gradient": gradient, "hessian": hessian}, _metrics(len(y), told, started))


def reply(message: Message, arrays: Mapping[str, npt.NDArray[Any]], metrics: dict[str, Any]) -> Message:
    """Make an answer of noisy arrays."""
    record = ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})
    return Message(RecordDict({"arrays": record, "metrics": MetricRecord(metrics)}), reply_to=message)


def _charge(message: Message, context: Context, releases: int) -> Spent:
    config = message.content.config_records["config"]
    asked = Spend(terms_of(message).noise_multiplier, releases)
    return (
        PrivacyPolicy.of(context).budget().charge(_run(config), asked, message=message.metadata.message_type)
    )


def _metrics(rows: int, told: Spent, started: float) -> dict[str, Any]:
    return {"num-examples": rows, "train-seconds": time.perf_counter() - started, **_told(told)}


def _told(spent: Spent) -> dict[str, float]:
    return {"epsilon": spent.run, "epsilon-spent": spent.total, "delta": spent.delta}


def _run(config: ConfigRecord) -> str:
    return str(config.get("privacy-run", ""))[:64] or "unnamed"


def _releases(config: ConfigRecord, name: str) -> int:
    value = number(config, name)
    if not 1 <= value <= 10**7 or value != int(value):
        raise FedstackError(
            ExitCode.CONFIG, f"The server's {name} is {value:g}.", "Deploy the same release on both sides."
        )
    return int(value)
