"""What may pass: the rules of security groups, and of network ACLs."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any, Final

from cdk_app.preflight.account import Described
from cdk_app.preflight.deployed import Resource
from cdk_app.preflight.side import DEPLOY, Side
from runtime.contract import LINK_PORT
from runtime.server.preflight.findings import NotCheckedError, Problem

EPHEMERAL: Final = (1024, 65535)
"""Ports of answers."""
_TCP: Final = ("6", "-1")
_GROUP: Final = "AWS::EC2::SecurityGroup"
_ALL_OUT: Final = {("out", "-1", None, None, "0.0.0.0/0")}
_ENDS: Final = (
    "CidrIp",
    "CidrIpv6",
    "SourceSecurityGroupId",
    "DestinationSecurityGroupId",
    "SourcePrefixListId",
    "DestinationPrefixListId",
)
Rule = tuple[str, str, int | None, int | None, str]
"""In or out, protocol, first and last port, and from or to where."""


def groups(side: Side) -> Iterator[Problem | str]:
    """Compare each security group's rules with the templates': none is missing, and none is more."""
    expected = _expected_rules(side)
    live = {
        g["GroupId"]: g
        for g in side.account.of_vpc("describe_security_groups", "SecurityGroups", side.vpc_id)
    }
    for identity, (name, rules) in expected.items():
        if identity not in live:
            yield Problem(side.owner, f"The security group {identity} ({name}) is not there.", DEPLOY)
            continue
        there = _live_rules(live[identity])
        for rule in sorted(rules - there, key=str):
            yield Problem(
                side.owner, f"The security group {identity} ({name}) does not let {_said(rule)}.", DEPLOY
            )
        for rule in sorted(there - rules, key=str):
            yield Problem(
                side.owner,
                f"The security group {identity} ({name}) lets {_said(rule)}, which no template says.",
                DEPLOY,
            )
    yield f"{len(expected)} as their templates say"
    yield from _link_port(side, expected)


def _link_port(side: Side, expected: dict[str, tuple[str, set[Rule]]]) -> Iterator[Problem]:
    """Find another side for which no template opens the link, as where its addresses changed since."""
    way, word = ("in", "in from") if side.client is None else ("out", "out to")
    opened = {r[4] for _, rules in expected.values() for r in rules if r[:3] == (way, "tcp", LINK_PORT)}
    for client, far in side.link_ends():
        name = side.stack_name
        if side.client is None and client in side.routed:
            name = side.peer_stack_name(client)
        if far not in opened and side.account.stack(name) is not None:
            yield Problem(
                side.owner,
                f"{name} does not let tcp {LINK_PORT} {word} {far}.",
                "Write that cidr into federation.yaml, run `make synth` and deploy that stack again.",
            )


def _expected_rules(side: Side) -> dict[str, tuple[str, set[Rule]]]:
    rules: dict[str, tuple[str, set[Rule]]] = {}
    for stack in side.stacks():
        for group in stack.resources(_GROUP):
            said = set(_rules_of(group))
            if "SecurityGroupEgress" not in group.properties:
                said |= _ALL_OUT
            rules[group.physical_id] = (group.name, said)
        for ingress in stack.resources("AWS::EC2::SecurityGroupIngress"):
            group_id = ingress.properties["GroupId"]
            rules.setdefault(group_id, (group_id, set()))[1].add(_rule("in", ingress.properties))
    return rules


def _rules_of(group: Resource) -> Iterator[Rule]:
    for way, key in (("in", "SecurityGroupIngress"), ("out", "SecurityGroupEgress")):
        for rule in group.properties.get(key, []):
            yield _rule(way, rule)


def _rule(way: str, said: Described) -> Rule:
    far = next(said[key] for key in _ENDS if key in said)
    return _normal(way, said["IpProtocol"], said.get("FromPort"), said.get("ToPort"), far)


def _normal(way: str, protocol: object, low: int | None, high: int | None, far: str) -> Rule:
    return (way, "-1", None, None, far) if str(protocol) == "-1" else (way, str(protocol), low, high, far)


def _live_rules(group: Described) -> set[Rule]:
    found: set[Rule] = set()
    for way, key in (("in", "IpPermissions"), ("out", "IpPermissionsEgress")):
        for rule in group.get(key, []):
            ends = [each["CidrIp"] for each in rule.get("IpRanges", [])]
            ends += [each["CidrIpv6"] for each in rule.get("Ipv6Ranges", [])]
            ends += [each["GroupId"] for each in rule.get("UserIdGroupPairs", [])]
            ends += [each["PrefixListId"] for each in rule.get("PrefixListIds", [])]
            found |= {
                _normal(way, rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort"), end)
                for end in ends
            }
    return found


def _said(rule: Rule) -> str:
    way, protocol, low, high, far = rule
    ports = "" if low is None or protocol == "-1" else f" {low}" if low == high else f" {low}-{high}"
    what = "anything" if protocol == "-1" else f"{protocol}{ports}"
    return f"{what} {'in from' if way == 'in' else 'out to'} {far}"


def network_acls(side: Side) -> Iterator[Problem | str]:
    """Find a network ACL that stops the link, or answers on it."""
    acls = side.account.of_vpc("describe_network_acls", "NetworkAcls", side.vpc_id)
    link, answers = (LINK_PORT, LINK_PORT), EPHEMERAL
    for subnet in side.subnet_ids:
        acl = next((a for a in acls if any(s.get("SubnetId") == subnet for s in a["Associations"])), None)
        if acl is None:
            raise NotCheckedError(f"{subnet} has no network ACL that can be seen")
        for _, far in side.link_ends():
            dials = side.client is not None
            for egress, (low, high) in ((dials, link), (not dials, answers)):
                if not _lets(acl["Entries"], egress=egress, ports=(low, high), far=far):
                    way = "out to" if egress else "in from"
                    identity = acl["NetworkAclId"]
                    yield Problem(
                        side.owner,
                        f"The network ACL {identity} of {subnet} stops tcp {low} to {high} {way} {far}.",
                        f"Let it pass: the link is tcp {LINK_PORT} to the server, and answers come to ports "
                        f"{EPHEMERAL[0]}-{EPHEMERAL[1]}.",
                    )
    yield "let the link pass"


def _lets(entries: list[Any], *, egress: bool, ports: tuple[int, int], far: str) -> bool:
    """Whether a network ACL lets all of these pass: the first entry that applies decides."""
    block = IPv4Network(far)
    for entry in sorted(entries, key=lambda e: int(e["RuleNumber"])):
        if entry["Egress"] is not egress or entry["Protocol"] not in _TCP or "CidrBlock" not in entry:
            continue
        there = IPv4Network(entry["CidrBlock"])
        low, high = (
            (entry["PortRange"]["From"], entry["PortRange"]["To"])
            if entry["Protocol"] == "6" and entry.get("PortRange")
            else (0, 65535)
        )
        if not there.overlaps(block) or high < ports[0] or low > ports[1]:
            continue
        if entry["RuleAction"] == "deny":
            return False
        if block.subnet_of(there) and low <= ports[0] and ports[1] <= high:
            return True
    return False
