"""How clients' networks reach the server's, and what must hold between addresses because of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, Final

from cdk_app.config.models import ClientAccount, Connectivity, ServerAccount
from cdk_app.config.rules import Labelled, Problem, known
from cdk_app.regions import partition

MOST_PEERINGS: Final = 125
"""Active peerings that one VPC can have at most, after every quota increase."""
MOST_RULES: Final = 1000
"""Inbound rules that one security group can have at most, where its interface is in no other one."""
_PRIVATELINK: Final = (
    "Write connectivity: privatelink, for the federation or for some of its clients: it takes no "
    "peering, no route and no addresses of its own (docs/privatelink.md)."
)


def broken_connectivity(
    hub: str, server: ServerAccount | None, clients: Labelled, default: Connectivity | None
) -> Iterator[Problem]:
    """Yield what keeps networks from being connected as the file says.

    Parameters
    ----------
    default
        How a client is connected that does not say so itself; None where that could not be read.
    """
    reached = {where: _reached(client, default) for where, client in clients}
    routed: list[tuple[str, Any]] = [(w, c) for w, c in clients if reached[w] in ("peering", "existing")]
    if server is not None and routed:
        routed.insert(0, (hub, server))
    yield from _overlaps(routed)
    if (peered := list(reached.values()).count("peering")) > MOST_PEERINGS:
        yield Problem(
            "clients",
            f"{peered} clients peer, and a VPC can have {MOST_PEERINGS} peerings at most",
            _PRIVATELINK,
        )
    rules = sum(way in ("peering", "existing") for way in reached.values())
    if rules and rules + ("privatelink" in reached.values()) > MOST_RULES:
        yield Problem(
            "clients",
            f"{rules} clients are routed to the server, and its security group can have {MOST_RULES} inbound "
            "rules at most, one for each and one for the load balancer of PrivateLink",
            _PRIVATELINK,
        )
    for where, client in clients:
        yield from _of_client(where, client, reached[where], server)
    if server is not None and known(server, "endpoint_service", "region"):
        yield from _service(hub, server)


def _reached(client: ClientAccount, default: Connectivity | None) -> str | None:
    """Return how a client is connected; None where that could not be read."""
    return (client.connectivity or default) if known(client, "connectivity") else None


def _overlaps(places: list[tuple[str, Any]]) -> Iterator[Problem]:
    """Yield networks that share addresses though packets are routed between them; PrivateLink routes none."""
    blocks = [(where, ipaddress.IPv4Network(place.cidr)) for where, place in places if known(place, "cidr")]
    for index, (where, block) in enumerate(blocks):
        for other, earlier in blocks[:index]:
            if block.overlaps(earlier):
                yield Problem(
                    where,
                    f"cidr is '{block}', which overlaps {earlier} of {other}",
                    "Give every account a block of its own; peered networks cannot share addresses. "
                    "Clients with connectivity: privatelink can.",
                )


def _of_client(
    where: str, client: ClientAccount, reached: str | None, server: ServerAccount | None
) -> Iterator[Problem]:
    if reached not in (None, "peering") and known(client, "peering_id") and client.peering_id:
        yield Problem(
            where,
            f"peering_id is {client.peering_id!r}, but its connectivity is {reached}",
            "Remove one of them: only connectivity: peering has a peering.",
        )
    if reached != "privatelink" or server is None:
        return
    if not known(client, "region", "kickoff_endpoint") or not known(server, "region"):
        return
    if partition(client.region) != partition(server.region):
        return  # which is said already (config/rules.py)
    if client.region != server.region and client.kickoff_endpoint is None:
        yield Problem(
            where,
            f"connectivity is privatelink and region is {client.region!r}, not the server's {server.region}: "
            "the link crosses Regions, the call that starts its job does not",
            f"Give kickoff_endpoint: the name of a Step Functions endpoint in {client.region} that the "
            "server's own network reaches (docs/privatelink.md), or use connectivity: peering.",
        )


def _service(hub: str, server: ServerAccount) -> Iterator[Problem]:
    if server.endpoint_service and f".vpce.{server.region}." not in server.endpoint_service:
        yield Problem(
            hub,
            f"endpoint_service is {server.endpoint_service!r}, not in {server.region}",
            "Copy the output EndpointService of the server's own stack.",
        )
