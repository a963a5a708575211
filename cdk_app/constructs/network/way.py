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
    """Where the link's port is, and its name where the account's own stack knows it better than the server."""

    cidr: str
    host: str | None = None


def way_to_server(
    scope: Construct,
    kind: Literal["peering", "privatelink", "existing"],
    *,
    network: Network,
    names: ClientNames,
    server: ServerNames,
    server_cidr: str,
    vpc_id: str | None,
    service: str | None,
) -> Way:
    """Make what a client's stack has of its way to the server; nothing, where there is one already.

    Parameters
    ----------
    vpc_id, service
        The one value that is told, by a peering or by PrivateLink; None where the deployment asks for it.
    """
    if kind == "privatelink":
        door = LinkEndpoint(scope, network=network, server=server, service=service, port=LINK_PORT)
        return Way(network.cidr, door.host)
    if kind == "peering":
        PeeringToServer(scope, network=network, names=names, server=server, cidr=server_cidr, vpc_id=vpc_id)
    return Way(server_cidr)
