"""Service quotas: may a job of this type start, and has the network room for all peerings and rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cdk_app.preflight.side import Side
from runtime.server.preflight.findings import Problem

PEERINGS: Final = "Active VPC peering connections per VPC"
RULES: Final = "Inbound or outbound rules per security group"
ROUTES: Final = "Routes per route table"


def quotas(side: Side) -> Iterator[Problem | str]:
    """Compare what a run needs with what AWS allows this account in its Region."""
    if side.client is not None:
        job = side.federation.job(side.client)
        usage = f"{job.instance_type} for {'spot ' if job.spot else ''}training job usage"
        yield from _compare(side, "sagemaker", {usage: 1})
        if side.peers:
            yield from _compare(side, "vpc", {PEERINGS: _peerings(side)})
        return
    rules = len(side.routed) + bool(side.linked)
    if not side.peers:
        yield from _compare(side, "vpc", {RULES: rules})
        return
    here = max(len(side.peers), _peerings(side))
    yield from _compare(side, "vpc", {PEERINGS: here, RULES: rules, ROUTES: len(side.peers) + 2})


def _peerings(side: Side) -> int:
    """Count those of this network that count: active ones, and those that wait to be accepted."""
    ends = ("RequesterVpcInfo", "AccepterVpcInfo")
    return sum(
        p["Status"]["Code"] in ("active", "pending-acceptance", "provisioning")
        and side.vpc_id in (p.get(end, {}).get("VpcId") for end in ends)
        for p in side.account.peerings
    )


def _compare(side: Side, service: str, needed: Mapping[str, int]) -> Iterator[Problem | str]:
    values = _values(side, service, needed)
    for name, least in needed.items():
        value = values.get(name)
        if value is None:
            yield Problem(
                side.owner,
                f"AWS has no quota {name!r} in {side.place.region}, so that is not offered there.",
                "Choose another instance type, or another Region, in federation.yaml.",
            )
        elif value < least:
            yield Problem(
                side.owner,
                f"The quota {name!r} is {value:g} in {side.place.region}; the federation needs {least}.",
                f"Ask for more: Service Quotas, {service}, {name}; that takes hours to days.",
            )
        else:
            yield f"{name}: {value:g} (needs {least})"


def _values(side: Side, service: str, names: Iterable[str]) -> dict[str, float]:
    """Return the account's own values, and AWS's defaults for what has none."""
    wanted, found = set(names), dict[str, float]()
    for operation in ("list_service_quotas", "list_aws_default_service_quotas"):
        for page in (
            side.account.client("service-quotas").get_paginator(operation).paginate(ServiceCode=service)
        ):
            found |= {
                q["QuotaName"]: float(q["Value"])
                for q in page["Quotas"]
                if q["QuotaName"] in wanted - found.keys()
            }
            if wanted <= found.keys():
                return found
    return found
