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
from runtime.tabular.client_gain import nested

FILE: Final = "value.json"


def keep(told: Mapping[str, Any], context: Context) -> None:
    """Write the figures into the node's output folder, if it has one, before the server hears of them."""
    if folder := context.node_config.get("output-dir"):
        path = Path(str(folder)) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(nested(told), indent=1) + "\n")


def summands(told: Mapping[str, Any]) -> Vector:
    """Return what is summed of them: one, whether federated is better, and both ROC-AUCs.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, when the hold-out has too few rows of a label: then nothing is told.
    """
    local, federated = float(told["local_only.roc_auc"]), float(told["federated.roc_auc"])
    if math.isnan(local) or math.isnan(federated):
        what = "Its hold-out has too few rows of a label for a score."
        raise FedstackError(ExitCode.DATA, what, "See value.json.", public=what)
    return np.array([1.0, float(federated > local), local, federated])


def record(message: Message, reply: Message, ledger: Ledger) -> None:
    """Write the figures that left this account plain into its ledger."""
    plain = SECURE not in message.content.config_records and not reply.has_error()
    if message.metadata.message_type == MessageType.CLIENT_GAIN and plain:
        ledger.write("value", **nested(reply.content.metric_records[METRICS]))
