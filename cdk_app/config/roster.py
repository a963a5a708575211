"""What the server is told about its clients: names, ARNs and addresses, all of them public to both sides."""

from __future__ import annotations

import json
from typing import Any

from cdk_app.config.models import ClientAccount, Federation


def roster(federation: Federation) -> dict[str, Any]:
    """Return the content of federation.json for the server's notebook."""
    return {
        "name": federation.name,
        "run": {**federation.training, **_of_the_app(federation)},
        "notebook_role": federation.server_names.notebook_role,
        "clients": [_entry(federation, client) for client in federation.clients],
    }


def roster_json(federation: Federation) -> str:
    """Return the roster as the text that is published to the server's account."""
    return json.dumps(roster(federation), indent=2) + "\n"


def _of_the_app(federation: Federation) -> dict[str, Any]:
    return {"run_config": dict(federation.run_config)} if federation.run_config else {}


def _entry(federation: Federation, client: ClientAccount) -> dict[str, Any]:
    names = federation.names_of(client)
    entry = {
        "name": client.name,
        "account": client.account,
        "region": client.region,
        "mailbox": names.mailbox_uri,
        "kickoff": client.kickoff,
        "kickoff_role_arn": names.kickoff_role_arn,
        "external_id": client.external_id or names.external_id,
    }
    if client.kickoff == "broker":
        entry["state_machine_arn"] = names.broker_arn
    else:
        entry["job_parameter"] = names.job_parameter
    if client.kickoff_endpoint is not None:
        entry["endpoint_url"] = f"https://{client.kickoff_endpoint}"
    return entry
