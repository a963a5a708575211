"""May a run start now: the owner's switch, and how many runs a day the owner lets start."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from cdk_app.preflight.side import DEPLOY, Side
from runtime.server.preflight.findings import NotCheckedError, Problem


def participation(side: Side) -> Iterator[Problem | str]:
    """Read whether the account takes part."""
    if side.client is None:
        return
    if side.client.kickoff == "direct":
        yield "not asked: kickoff is direct"
        return
    name = side.names_of(side.client).participation
    answer = side.account.get("ssm", "get_parameter", Name=name)
    value = answer["Parameter"]["Value"] if answer else None
    if value != "on":
        yield Problem(
            side.owner,
            f"The account takes no part: {name} is {'missing' if value is None else repr(value)}, not 'on'.",
            f"If its owner wants: aws ssm put-parameter --overwrite --type String --name {name} --value on",
        )
    yield "on"


def run_lock(side: Side) -> Iterator[Problem | str]:
    """Read how many runs started today (UTC), as the broker counts them, and which was the last."""
    if side.client is None or side.client.kickoff == "direct":
        return
    table = side.stack().resource("AWS::DynamoDB::Table")
    if table is None:
        raise NotCheckedError("the stack has no run lock")
    key, most = {"client": {"S": side.client.name}}, side.client.max_runs_per_day
    read = {"TableName": table.physical_id, "Key": key, "ConsistentRead": True}
    answer = side.account.get("dynamodb", "get_item", **read)
    if answer is None:
        yield Problem(side.owner, f"The table {table.physical_id} (run lock) is not there.", DEPLOY)
        return
    item, today = answer.get("Item", {}), f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    started = int(item["starts"]["N"]) if item.get("day", {}).get("S") == today else 0
    if started >= most:
        yield Problem(
            side.owner,
            f"{started} runs started today (UTC), and its owner lets {most} start (max_runs_per_day).",
            "Wait for tomorrow; or its owner raises max_runs_per_day and deploys.",
        )
    yield f"{started} of {most} runs today"
    if holder := item.get("holder", {}).get("S"):
        yield f"the last was {holder}"
