"""What this client gains, kept where its own data owner finds it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Context, Message

from runtime.contract import ExitCode, FedstackError
from runtime.ledger import Ledger
from runtime.messages import METRICS, SECURE, MessageType
from runtime.privacy.fixed_point import Vector
from runtime.tabular.client_gain import ENDS, MODELS, names_of, nested
from runtime.tabular.columns.columns import Task
from runtime.tabular.task_scores import lead_of

FILE: Final = "value.json"


def keep(told: Mapping[str, Any], task: Task, context: Context) -> None:
    """Write the figures into the node's output folder, if it has one, before the server hears of them."""
    if folder := context.node_config.get("output-dir"):
        path = Path(str(folder)) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(nested(told, task), indent=1) + "\n")


def summands(told: Mapping[str, Any]) -> Vector:
    """Return what is summed: one; whether federated is better, and worse, than chance explains; both scores.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, when the hold-out has too few rows of a label: then nothing is told.
    """
    lead = lead_of(_task(told))
    local, federated, low, high = (float(told[n]) for n in (*(f"{model}.{lead}" for model in MODELS), *ENDS))
    if any(math.isnan(number) for number in (local, federated, low, high)):
        what = "Its hold-out has too few rows of a label for a score."
        raise FedstackError(ExitCode.DATA, what, "See value.json.", public=what)
    return np.array([1.0, float(low > 0), float(high < 0), local, federated])


def record(message: Message, reply: Message, ledger: Ledger) -> None:
    """Write the figures that left this account plain into its ledger."""
    plain = SECURE not in message.content.config_records and not reply.has_error()
    if message.metadata.message_type == MessageType.CLIENT_GAIN and plain:
        told = reply.content.metric_records[METRICS]
        ledger.write("value", **nested(told, _task(told)))


def _task(told: Mapping[str, Any]) -> Task:
    """Return the task whose figures these are: no two have the same."""
    return next(task for task in Task if names_of(task) == set(told))
