"""What this client gains, kept where its own data owner finds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flwr.app import Context, Message

from runtime.ledger import Ledger
from runtime.task.value import nested

FILE: Final = "value.json"
QUERY: Final = "query.value"


def keep(told: Mapping[str, Any], context: Context) -> None:
    """Write the figures into the node's output folder, if it has one, before the server hears of them."""
    if folder := context.node_config.get("output-dir"):
        path = Path(str(folder)) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(nested(told), indent=1) + "\n")


def record(message: Message, reply: Message, ledger: Ledger) -> None:
    """Write the figures that left this account into its ledger."""
    if message.metadata.message_type == QUERY and not reply.has_error():
        ledger.write("value", **nested(reply.content.metric_records["metrics"]))
