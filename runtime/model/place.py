"""Which bucket an account's models are served from: a notebook was told, and the stack's outputs say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from runtime.contract import (
    ARTIFACTS_OUTPUT,
    INSTALLED_FILE,
    RESULTS_OUTPUT,
    ExitCode,
    FedstackError,
    client_stack,
    server_stack,
)
from runtime.errors import printable
from runtime.model.clients import Clients
from runtime.model.vouched import Vouched

TOLD_BUCKETS: Final = ("results", "models")
"""What a server's and a client's notebook is told of the bucket that takes models."""
GIVE: Final = "Give --bucket: the server's bucket of results, or a client's of artifacts (docs/model.md)."


def installed() -> dict[str, Any]:
    """Return what a notebook was told of its account; nothing where this is none."""
    try:
        told = json.loads((Path(__file__).parents[3] / INSTALLED_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def bucket_of(vouched: Vouched, federation: str, clients: Clients) -> str:
    """Return the bucket for a model, as the notebook was told or as the account's own stack says.

    Raises
    ------
    FedstackError
        When neither does.
    """
    told = installed()
    if found := next((place for name in TOLD_BUCKETS if (place := _bucket(told.get(name)))), ""):
        return found
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        stacks = clients("cloudformation")
        account, region = clients("sts").get_caller_identity()["Account"], stacks.meta.region_name
        name, output = server_stack(federation, account, region), RESULTS_OUTPUT
        if vouched.is_client:
            client = vouched.side.removeprefix("client ")
            name, output = client_stack(federation, client, account, region), ARTIFACTS_OUTPUT
        outputs = stacks.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
    except (BotoCoreError, ClientError) as error:
        why = f"the account's stack does not say one ({printable(error, 200)})"
        raise FedstackError(
            ExitCode.CONFIG, f"No bucket is named to serve the model from, and {why}.", GIVE
        ) from error
    found = next((one["OutputValue"] for one in outputs if one["OutputKey"] == output), "")
    if not found:
        raise FedstackError(ExitCode.CONFIG, f"The stack {name} has no output {output}.", GIVE)
    return str(found)


def _bucket(place: Any) -> str:
    return urlsplit(str(place or "")).netloc
