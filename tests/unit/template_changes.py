"""Changes of a client's template, of which its mistakes are made."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from assembly import Template

OTHER = "999999999999"
SERVER_ROOT = "arn:aws:iam::111111111111:root"


def resource(template: Template, name: str) -> dict[str, Any]:
    """The properties of the only resource whose logical id begins like this."""
    found = [r for key, r in template["Resources"].items() if key.startswith(name)]
    assert len(found) == 1, f"{name}: {len(found)}"
    properties: dict[str, Any] = found[0]["Properties"]
    return properties


def logical_id(template: Template, name: str) -> str:
    """The logical id that begins like this, and ends with CDK's hash."""
    [found] = [key for key in template["Resources"] if key.startswith(name) and len(key) == len(name) + 8]
    return str(found)


def statement(template: Template, policy: str, sid: str) -> dict[str, Any]:
    """One statement of a policy."""
    properties = resource(template, policy)
    document = properties.get("PolicyDocument") or properties["KeyPolicy"]
    found: list[dict[str, Any]] = [s for s in document["Statement"] if s.get("Sid") == sid]
    assert len(found) == 1
    return found[0]


def grant(template: Template, policy: str, action: str | list[str], to: Any, **more: Any) -> None:
    """Add a statement that allows something."""
    properties = resource(template, policy)
    document = properties.get("PolicyDocument") or properties["KeyPolicy"]
    document["Statement"].append({"Effect": "Allow", "Action": action, "Resource": to, **more})


def trust(template: Template, role: str) -> dict[str, Any]:
    """The one statement of a role's trust policy."""
    found: list[dict[str, Any]] = resource(template, role)["AssumeRolePolicyDocument"]["Statement"]
    assert len(found) == 1
    return found[0]


def arn(template: Template, name: str) -> dict[str, Any]:
    """A reference to a resource's ARN."""
    return {"Fn::GetAtt": [logical_id(template, name), "Arn"]}


def objects(template: Template, bucket: str, pattern: str = "*") -> dict[str, Any]:
    """The objects of a bucket."""
    return {"Fn::Join": ["", [arn(template, bucket), f"/{pattern}"]]}


def redefine(template: Template, machine: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a state machine's definition, which is JSON in pieces."""
    properties = resource(template, machine)
    told = properties["DefinitionString"]
    pieces = [told] if isinstance(told, str) else told["Fn::Join"][1]
    text = "".join(p if isinstance(p, str) else f"\x00{n}\x00" for n, p in enumerate(pieces))
    definition = json.loads(text.replace("\x00", "\\u0000"))
    change(definition)
    parts = json.dumps(definition, ensure_ascii=False).replace("\\u0000", "\x00").split("\x00")
    joined = [part if number % 2 == 0 else pieces[int(part)] for number, part in enumerate(parts)]
    properties["DefinitionString"] = {"Fn::Join": ["", joined]}


KICKOFF = "KickoffRoleDefaultPolicy"
BROKER, STOPPER, SWEEPER = (
    "BrokerStartStateMachine",
    "BrokerStopperStopStateMachine",
    "BrokerSweeperSweepStateMachine",
)


def job(template: Template, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the pinned request."""
    redefine(template, BROKER, lambda d: change(d["States"]["StartJob"]["Arguments"]))


def broken(template: Template, change: Callable[[Template], object]) -> bytes:
    """A template with something changed, as a file."""
    changed = copy.deepcopy(template)
    change(changed)
    return json.dumps(changed).encode()


Change = Callable[[Template], object]
EXECUTION, BROKER_ROLE = "JobExecutionRoleDefaultPolicy", "BrokerStartRoleDefaultPolicy"


def without(mapping: dict[str, Any], *path: str) -> None:
    """Remove what stands at the end of a path."""
    for key in path[:-1]:
        mapping = mapping[key]
    del mapping[path[-1]]


def put(mapping: dict[str, Any], value: Any, *path: str) -> None:
    """Put a value at the end of a path."""
    for key in path[:-1]:
        mapping = mapping[key]
    mapping[path[-1]] = value


def add(template: Template, name: str, kind: str, **properties: Any) -> None:
    """Add a resource."""
    template["Resources"][name] = {"Type": f"AWS::{kind}", "Properties": properties}


def external_id(template: Template, condition: dict[str, Any]) -> None:
    """Ask for another external id."""
    conditions = trust(template, "KickoffRole7")["Condition"]
    del conditions["StringEquals"]
    conditions.update(condition)


def negated(statement: dict[str, Any], element: str) -> None:
    """Allow everything but what was allowed."""
    statement[f"Not{element}"] = statement.pop(element)


def unlocked(definition: dict[str, Any]) -> None:
    """Take every state of the lock out."""
    states = definition["States"]
    states["BundleReviewed"]["Choices"][0]["Next"] = "StartJob"
    for name in (
        "ReadLock",
        "LockIsFree",
        "DescribeHolder",
        "HolderRuns",
        "DescribeHoldersJob",
        "HoldersJobRuns",
    ):
        del states[name]
    for name in ("TakeLock", "Busy", "DailyLimit"):
        del states[name]
