"""The gate of a client's account: its state machines as reviewed, and the members that it was told."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cdk_app.naming import signing_key_parameter
from cdk_app.preflight.checks.bundle import digests_in
from cdk_app.preflight.deployed import Resource
from cdk_app.preflight.side import DEPLOY, Side
from runtime.contract import Updates
from runtime.server.preflight.findings import Problem

MACHINE: Final = "AWS::StepFunctions::StateMachine"


def broker(side: Side) -> Iterator[Problem | str]:
    """Compare broker and stopper with the template: definition, role, and the rules that start them."""
    stack, account = side.stack(), side.account
    if side.client is not None and side.client.kickoff == "direct":
        yield from _request(side)
    for machine in stack.resources(MACHINE):
        live = account.get("stepfunctions", "describe_state_machine", stateMachineArn=machine.physical_id)
        for what in _machine(machine, live):
            yield Problem(side.owner, f"The state machine {machine.physical_id}: {what}.", DEPLOY)
        yield machine.physical_id.rpartition(":")[2]
    for rule in stack.resources("AWS::Events::Rule"):
        live = account.get("events", "describe_rule", Name=rule.physical_id)
        listed = live and account.all("events", "list_targets_by_rule", "Targets", Rule=rule.physical_id)
        for what in _rule(rule, live, {str(target["Arn"]) for target in listed or []}):
            yield Problem(side.owner, f"The rule {rule.physical_id} ({rule.name}): {what}.", DEPLOY)


def _request(side: Side) -> Iterator[Problem]:
    """Compare the request that a server with direct kickoff reads with the template's."""
    for parameter in side.stack().resources("AWS::SSM::Parameter"):
        answer = side.account.get("ssm", "get_parameter", Name=parameter.physical_id)
        live = answer["Parameter"]["Value"] if answer else None
        if live != parameter.properties["Value"]:
            state = "not there" if live is None else "not what the template says"
            yield Problem(side.owner, f"The parameter {parameter.physical_id} is {state}.", DEPLOY)


def _machine(machine: Resource, live: Mapping[str, Any] | None) -> Iterator[str]:
    if live is None:
        yield "it is not there"
        return
    if live["status"] != "ACTIVE":
        yield f"it is {live['status']}"
    if live["roleArn"] != machine.properties["RoleArn"]:
        yield f"it has the role {live['roleArn']}, not {machine.properties['RoleArn']}"
    expected, there = str(machine.properties["DefinitionString"]), str(live["definition"])
    if _parsed(expected) == _parsed(there):
        return
    pinned, starts = digests_in(expected), digests_in(there)
    if pinned != starts:
        started = ", ".join(sorted(starts)) or "that nobody names"
        yield f"it starts the bundle {started}; its stack pins {', '.join(sorted(pinned))}"
    else:
        yield f"its definition is not that of the template: {_states(expected, there)}"


def _parsed(definition: str) -> Any:
    try:
        return json.loads(definition)
    except ValueError:
        return definition


def _states(expected: str, there: str) -> str:
    old, new = (_parsed(text) for text in (expected, there))
    if not isinstance(new, dict) or not isinstance(old, dict):
        return "it is no state machine that can be read"
    before, after = old.get("States", {}), new.get("States", {})
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if not names:
        names = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    return f"{', '.join(names)} differ" if len(names) > 1 else f"{names[0]} differs"


def _rule(rule: Resource, live: Mapping[str, Any] | None, targets: set[str]) -> Iterator[str]:
    if live is None:
        yield "it is not there"
        return
    if live["State"] == "DISABLED" and rule.properties.get("State", "ENABLED") != "DISABLED":
        yield "it is disabled"
    if json.loads(live.get("EventPattern") or "null") != rule.properties.get("EventPattern"):
        yield "it looks for other events"
    if (live.get("ScheduleExpression") or None) != rule.properties.get("ScheduleExpression"):
        yield f"its schedule is {live.get('ScheduleExpression')}"
    if lost := {str(target["Arn"]) for target in rule.properties.get("Targets", [])} - targets:
        yield f"it does not reach {', '.join(sorted(lost))}"


def signing_keys(side: Side) -> Iterator[Problem | str]:
    """Look at the account's signing key, and at whether it was told those of the members that it names."""
    client = side.client
    if client is None:
        return
    if client.privacy.updates is not Updates.SUMS:
        yield f"none: updates are {client.privacy.updates}"
        return
    alias, others = side.names_of(client).signing_key, {c.name: c for c in side.federation.clients}
    parameters = side.stack().parameters
    answer = side.account.get("kms", "get_public_key", KeyId=alias)
    if answer is None:
        yield Problem(side.owner, f"The signing key {alias} is not there.", DEPLOY)
        return
    own = _base64(answer["PublicKey"])
    if client.signing_key not in (None, own):
        yield Problem(
            side.owner,
            f"The signing key of {client.name} is {_short(own)}, another one than federation.yaml says.",
            "Tell it anew to the clients that name this one (docs/deploy.md, steps 7 and 8).",
        )
    yield f"own {_short(own)}"
    for member in client.privacy.cohort:
        told = others[member].signing_key or parameters.get(signing_key_parameter(member), "")
        if not told:
            yield Problem(
                side.owner,
                f"The stack was not told the signing key of {member}: this client refuses every sum.",
                f"Get it from the owner of {member}, and deploy with --parameters "
                f"{signing_key_parameter(member)}=... (docs/deploy.md, step 8).",
            )
        elif told == own:
            yield Problem(
                side.owner,
                f"The stack was told this client's own signing key as that of {member}.",
                f"Get it from the owner of {member}.",
            )
        else:
            yield f"{member} {_short(told)}"


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")


def _short(key: str) -> str:
    """Return what owners compare over the phone: the SHA-256 of the line that one told the other."""
    return hashlib.sha256(f"{key}\n".encode()).hexdigest()[:12]
