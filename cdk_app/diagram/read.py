"""What a picture shows of an assembly: accounts, their networks and stores, and who may do what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_STACK: Final = re.compile(
    r"(?P<federation>[^-]+)-(?P<kind>server-peer|server|client)-(?:(?P<client>.+)-)?"
    r"(?P<account>\d{12})-(?P<region>[a-z0-9-]+)"
)
_HASH: Final = re.compile(r"[0-9A-F]{8}$")
_DIGEST: Final = re.compile(r"\b[0-9a-f]{64}\b")
_ARN: Final = re.compile(r"arn:aws[a-z-]*:[a-z0-9]*:[^:]*:[^:]*:")
HOUSEKEEPING: Final = frozenset({"cloudwatch", "ec2", "logs", "xray"})
"""Services whose rights are left out of the pictures: logs, metrics, traces, network interfaces."""

_SHOWN: Final = {
    "endpoints": ("EC2::VPCEndpoint", "ServiceName"),
    "buckets": ("S3::Bucket", ""),
    "keys": ("KMS::Key", ""),
    "state machines": ("StepFunctions::StateMachine", "StateMachineName"),
    "notebook": ("SageMaker::NotebookInstance", "NotebookInstanceName"),
}
"""What an account's box lists: the type of resource, and the property that names it."""

Template = dict[str, Any]


@dataclass(frozen=True)
class Role:
    """A role: who may take it, and what it may do, as lines."""

    name: str
    taken_by: str
    account: str
    rights: tuple[str, ...]


@dataclass(frozen=True)
class Account:
    """One account of the federation, and what its stack makes there."""

    kind: str
    client: str
    account: str
    region: str
    cidr: str
    made: dict[str, tuple[str, ...]] = field(default_factory=dict)
    roles: tuple[Role, ...] = ()
    ports: tuple[str, ...] = ()
    """What a client's job dials of the server."""
    way: str = "over the peering"
    """On which way."""

    @property
    def title(self) -> str:
        """What the account is called in a picture."""
        return f"{self.client or self.kind}: account {self.account}, {self.region}"


def read(folder: Path) -> list[Account]:
    """Read an assembly's templates, the server first, then its clients by name."""
    named = [
        (path, _STACK.fullmatch(path.name.split(".")[0])) for path in sorted(folder.glob("*.template.json"))
    ]
    stacks = [(found, json.loads(path.read_text(encoding="utf-8"))) for path, found in named if found]
    peers = {found["client"]: template for found, template in stacks if found["kind"] == "server-peer"}
    accounts = [
        _account(found, template, *_way(template, peers.get(found["client"])))
        for found, template in stacks
        if found["kind"] != "server-peer"
    ]
    return sorted(accounts, key=lambda account: (account.kind != "server", account.client))


def _way(client: Template, peer: Template | None) -> tuple[tuple[str, ...], str]:
    """Return the ports that a client's job dials, and on which way: as the stacks of both sides have it."""
    if peer is not None:
        opened = _of(peer, "EC2::SecurityGroupIngress").values()
        way = "over the peering" if _of(peer, "EC2::Route") else "on a way that exists"
        return tuple(f"tcp {p['FromPort']}" for p in opened), way
    linked = [p for name, p in _of(client, "EC2::SecurityGroup").items() if name.startswith("LinkEndpoint")]
    return tuple(
        f"tcp {rule['FromPort']}" for p in linked for rule in p["SecurityGroupIngress"]
    ), "by PrivateLink"


def label(logical_id: str) -> str:
    """Return a logical id as words, without its hash."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", _HASH.sub("", logical_id))
    return words[:1] + words[1:].lower()


def _account(found: re.Match[str], template: Template, ports: tuple[str, ...], way: str) -> Account:
    (vpc,) = [*_of(template, "EC2::VPC").values()] or [{"CidrBlock": "a VPC of its own"}]
    names = {
        what: tuple(
            _name(key, properties.get(named), found["region"])
            for key, properties in _of(template, kind).items()
        )
        for what, (kind, named) in _SHOWN.items()
    }
    roles = tuple(_role(key, role, template) for key, role in _of(template, "IAM::Role").items())
    return Account(
        found["kind"],
        found["client"] or "",
        found["account"],
        found["region"],
        vpc["CidrBlock"],
        names,
        roles,
        ports,
        way,
    )


def _name(logical_id: str, physical: Any, region: str) -> str:
    """Return the name that the template gives, without what all of its kind share, or the logical id's."""
    if physical is None:
        return re.sub("^(Storage|Keys|Job) ", "", label(logical_id))
    return re.sub(rf"^.*amazonaws\.(<AWS::Region>\.|{region}\.)?", "", _text(physical))


def _of(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {
        key: resource.get("Properties", {})
        for key, resource in template["Resources"].items()
        if resource["Type"] == f"AWS::{kind}"
    }


def _role(logical_id: str, role: dict[str, Any], template: Template) -> Role:
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    principal = trust["Principal"]
    exact = {key: value for test in trust.get("Condition", {}).values() for key, value in test.items()}
    who = str(exact.get("aws:PrincipalArn") or principal.get("Service") or principal["AWS"])
    source = exact.get("aws:SourceArn")
    taken_by = f"{_text(who)} for {_text(source)}" if source else _text(who)
    rights = [line for statement in _statements(logical_id, template) for line in _rights(statement)]
    account = "".join(re.findall(r"::(\d{12}):", str(principal.get("AWS", ""))))
    return Role(
        _text(role.get("RoleName", label(logical_id))), taken_by, account, tuple(dict.fromkeys(rights))
    )


def _statements(role: str, template: Template) -> Iterator[dict[str, Any]]:
    for kind in ("IAM::Policy", "IAM::ManagedPolicy"):
        for policy in _of(template, kind).values():
            if {"Ref": role} in policy.get("Roles", []):
                yield from policy["PolicyDocument"]["Statement"]
    for policy in _of(template, "IAM::Role")[role].get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


def _rights(statement: dict[str, Any]) -> Iterator[str]:
    actions = _list(statement["Action"])
    shown = [action for action in actions if action.partition(":")[0] not in HOUSEKEEPING]
    if statement["Effect"] == "Allow" and shown:
        service = shown[0].partition(":")[0]
        verbs = ", ".join(action.removeprefix(f"{service}:") for action in shown)
        for resource in _list(statement["Resource"]):
            yield f"{service}: {verbs} on {_text(resource)}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """Say a value as a person would; digests, which change with any code, are left out."""
    if isinstance(value, dict):
        ((function, argument),) = value.items()
        if function == "Fn::Join":
            value = "".join(_text(part) if isinstance(part, dict) else str(part) for part in argument[1])
        else:
            name = argument[0] if isinstance(argument, list) else argument
            return f"<{name}>" if str(name).startswith("AWS::") else label(name)
    return _DIGEST.sub("<SHA-256>", _ARN.sub("", str(value)))
