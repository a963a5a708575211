"""Addresses: as federation.yaml says, shared with no other network, named, and free."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final

from cdk_app.preflight.checks.existing_vpc import leads_out
from cdk_app.preflight.side import DEPLOY, Side, blocks_of
from runtime.server.preflight.findings import Owner, Problem

LEAST_FREE: Final = 2
"""Addresses that a training job may take in a subnet."""


def addresses(side: Side) -> Iterator[Problem | str]:
    """Compare the addresses of the networks as they are with federation.yaml, and among themselves."""
    vpcs = side.account.all("ec2", "describe_vpcs", "Vpcs")
    here = next((vpc for vpc in vpcs if vpc["VpcId"] == side.vpc_id), None)
    if here is None:
        yield Problem(side.owner, f"The network {side.vpc_id} is not there.", DEPLOY)
        return
    blocks = [a["CidrBlock"] for a in here.get("CidrBlockAssociationSet", [])] or [here["CidrBlock"]]
    if side.place.cidr not in blocks:
        yield _other_addresses(side.owner, side.vpc_id, ", ".join(blocks), side.place.cidr)
    for client in side.peers:
        if (peering := side.peering_of(client)) and peering["Status"]["Code"] == "active":
            owner, place, end = (
                (side.owner_of(client), client.cidr, "RequesterVpcInfo")
                if side.client is None
                else (side.server, side.federation.server.cidr, "AccepterVpcInfo")
            )
            theirs = blocks_of(peering[end])
            if theirs and place not in theirs:
                yield _other_addresses(owner, peering[end]["VpcId"], ", ".join(theirs), place)
    yield from _overlaps(side, blocks)
    yield from _dns(side)
    yield ", ".join(blocks)


def _other_addresses(owner: Owner, vpc_id: str, there: str, said: str) -> Problem:
    return Problem(
        owner,
        f"The network {vpc_id} has the addresses {there}; in federation.yaml its cidr is {said}.",
        "Correct federation.yaml on every side and deploy again; routes and rules follow from it.",
    )


def _overlaps(side: Side, own: list[str]) -> Iterator[Problem]:
    """Yield what is peered with this network and has its addresses, or those of another peer."""
    taken = [(side.vpc_id, block) for block in own]
    for peering in side.account.peerings:
        ends = [peering.get("RequesterVpcInfo", {}), peering.get("AccepterVpcInfo", {})]
        if peering["Status"]["Code"] != "active" or side.vpc_id not in (end.get("VpcId") for end in ends):
            continue
        for end in (end for end in ends if end.get("VpcId") != side.vpc_id):
            for block in blocks_of(end):
                for other, known in taken:
                    if IPv4Network(block).overlaps(IPv4Network(known)):
                        yield Problem(
                            side.owner,
                            f"{block} of {end['VpcId']}, a peer, overlaps {known} of {other}.",
                            "Give one of them a block of its own, or end its peering (docs/deploy.md).",
                        )
                taken.append((end["VpcId"], block))


def _dns(side: Side) -> Iterator[Problem]:
    # A network that leads out needs no endpoint with a private name.
    for attribute in ("enableDnsSupport", *(() if leads_out(side) else ("enableDnsHostnames",))):
        answer = side.account.client("ec2").describe_vpc_attribute(VpcId=side.vpc_id, Attribute=attribute)
        if not answer[attribute[0].upper() + attribute[1:]]["Value"]:
            yield Problem(
                side.owner,
                f"{attribute} of {side.vpc_id} is off: AWS's endpoints in it have no names.",
                f"aws ec2 modify-vpc-attribute --vpc-id {side.vpc_id} --{_dashed(attribute)} Value=true",
            )


def _dashed(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name)


def free_addresses(side: Side) -> Iterator[Problem | str]:
    """Count the free addresses of each subnet."""
    subnets = {s["SubnetId"]: s for s in side.account.of_vpc("describe_subnets", "Subnets", side.vpc_id)}
    for identity in side.subnet_ids:
        if identity not in subnets:
            yield Problem(side.owner, f"The subnet {identity} is not there.", DEPLOY)
            continue
        free = int(subnets[identity]["AvailableIpAddressCount"])
        if free < LEAST_FREE:
            yield Problem(
                side.owner,
                f"The subnet {identity} has {free} free addresses; a job needs {LEAST_FREE}.",
                "Delete network interfaces that nobody uses, or give it a larger cidr in federation.yaml.",
            )
        yield f"{free} in {identity}"
