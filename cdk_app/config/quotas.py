"""AWS's default quotas that a federation outgrows with its clients; AWS raises them when it is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cdk_app.config.connectivity import MOST_PEERINGS, MOST_RULES
from cdk_app.config.models import Federation

PEERINGS: Final = 50
"""Active peerings per VPC ("Amazon VPC quotas"); `connectivity.MOST_PEERINGS` is where raising ends."""
RULES: Final = 60
"""Inbound rules per security group; the server's has one for each client whose packets are routed, and one
for the load balancer where others come by PrivateLink.
"""
_INSTEAD: Final = "or write connectivity: privatelink, which takes none of them (docs/privatelink.md)."


def outgrown(federation: Federation) -> Iterator[str]:
    """Yield a sentence for each quota of the server's account that must be raised for all clients to fit."""
    ways = [federation.reached_by(client) for client in federation.clients]
    peered, routed = ways.count("peering"), len(ways) - ways.count("privatelink")
    linked = "privatelink" in ways
    rules, balancer = routed + linked, " and one for the load balancer" if linked else ""
    if peered > PEERINGS:
        yield (
            f"{peered} clients peer, and a VPC has {PEERINGS} peerings until AWS raises that, to "
            f"{MOST_PEERINGS} at most. Ask for {peered} (Service Quotas, vpc, Active VPC peering connections "
            f"per VPC), {_INSTEAD}"
        )
    if routed and rules > RULES:
        yield (
            f"{routed} clients are routed to the server, and its security group has {RULES} inbound rules, "
            f"one for each{balancer}, until AWS raises that, to {MOST_RULES} at most. Ask for {rules} "
            f"(Service Quotas, vpc, Inbound or outbound rules per security group), {_INSTEAD}"
        )
