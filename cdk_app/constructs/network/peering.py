"""The two ends of a peering: the client requests it and routes there, the server routes back."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from cdk_app.constructs.network.exchanged import exchanged
from cdk_app.constructs.network.network import Network
from cdk_app.naming import ClientNames, ServerNames


def _server_vpc_id(stack: cdk.Stack, known: str | None) -> str:
    """Return the server's VPC id, which travels to each client."""
    pattern, about = r"^vpc-[0-9a-f]{8,17}$", "Output VpcId of the server's stack"
    return exchanged(stack, "ServerVpcId", known, pattern=pattern, description=about)


def _peering_id(stack: cdk.Stack, known: str | None) -> str:
    """Return the id of a client's peering, which the server's own account shows."""
    pattern, about = r"^pcx-[0-9a-f]{8,17}$", "The client's peering, see docs/deploy.md"
    return exchanged(stack, "PeeringId", known, pattern=pattern, description=about)


class PeeringToServer(Construct):
    """The client's half: a peering with the server's VPC, and the route to it from both subnets."""

    def __init__(
        self,
        scope: Construct,
        *,
        network: Network,
        server: ServerNames,
        names: ClientNames,
        cidr: str,
        vpc_id: str | None,
    ) -> None:
        super().__init__(scope, "Peering")
        peering = ec2.CfnVPCPeeringConnection(
            self,
            "ToServer",
            vpc_id=network.vpc.vpc_id,
            peer_owner_id=server.account,
            peer_region=server.region,
            peer_vpc_id=_server_vpc_id(cdk.Stack.of(self), vpc_id),
            peer_role_arn=server.accepter_role_arn(names.client),
        )
        for number, table in enumerate(network.route_table_ids, start=1):
            ec2.CfnRoute(
                self,
                f"RouteToServer{number}",
                route_table_id=table,
                destination_cidr_block=cidr,
                vpc_peering_connection_id=peering.ref,
            )


class ReturnPath(Construct):
    """The way back to one client: the link's port open to it, and after a peering a route to it."""

    def __init__(
        self, scope: Construct, *, client_cidr: str, client_name: str, server_group_id: str, port: int
    ) -> None:
        super().__init__(scope, "ReturnPath")
        self._client_cidr = client_cidr
        ec2.CfnSecurityGroupIngress(
            self,
            "Link",
            group_id=server_group_id,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            cidr_ip=client_cidr,
            description=f"The link, dialled by the jobs of {client_name}",
        )

    def add_routes(self, peering_id: str | None, route_table_ids: Sequence[str]) -> None:
        """Route back over the client's peering from both server subnets."""
        peering = _peering_id(cdk.Stack.of(self), peering_id)
        for number, table in enumerate(route_table_ids, start=1):
            ec2.CfnRoute(
                self,
                f"RouteToClient{number}",
                route_table_id=table,
                destination_cidr_block=self._client_cidr,
                vpc_peering_connection_id=peering,
            )
