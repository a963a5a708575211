"""The one way from a client's network to the server's, of the three that there are."""

from __future__ import annotations

from typing import Literal, NamedTuple

from constructs import Construct

from cdk_app.constructs.network.link_endpoint import LinkEndpoint
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.peering import PeeringToServer
from cdk_app.naming import ClientNames, ServerNames
from runtime.contract import LINK_PORT


class Way(NamedTuple):
    """Where the link's port is, and the name of it where the account's own stack is what knows it."""

    cidr: str
    host: str | None = None


class Told(NamedTuple):
    """What the federation file says of a way; the last two are None where the deployment asks for them.

    Parameters
    ----------
    cidr
        The server's network.
    vpc_id, service
        The one value that the server tells, for a peering or by PrivateLink.
    """

    kind: Literal["peering", "privatelink", "existing"]
    cidr: str
    vpc_id: str | None
    service: str | None


def way_to_server(
    scope: Construct, told: Told, *, network: Network, names: ClientNames, server: ServerNames
) -> Way:
    """Make what a client's stack has of its way to the server; nothing, where there is one already."""
    if told.kind == "privatelink":
        door = LinkEndpoint(scope, network=network, server=server, service=told.service, port=LINK_PORT)
        return Way(network.cidr, door.host)
    if told.kind == "peering":
        PeeringToServer(
            scope, network=network, names=names, server=server, cidr=told.cidr, vpc_id=told.vpc_id
        )
    return Way(told.cidr)
