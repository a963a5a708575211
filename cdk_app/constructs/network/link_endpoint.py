"""The client's way to a server behind PrivateLink: one endpoint in its own network, one port, one way."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from cdk_app.constructs.network.exchanged import exchanged
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.security_groups import LinkGroup
from cdk_app.naming import ServerNames

SERVICE: Final = r"^(cn\.)?com\.amazonaws\.vpce\.[a-z0-9-]+\.vpce-svc-[0-9a-f]{8,17}$"


class LinkEndpoint(Construct):
    """An interface endpoint to the server's service: no peering, no route, no name in anybody's DNS zone.

    It has no policy, since an endpoint service that is not AWS's own takes none: what passes is TLS between
    the job and the one certificate that its broker was told.
    """

    def __init__(
        self, scope: Construct, *, network: Network, server: ServerNames, service: str | None, port: int
    ) -> None:
        super().__init__(scope, "LinkEndpoint")
        stack = cdk.Stack.of(self)
        name = exchanged(
            stack,
            "EndpointService",
            service,
            pattern=SERVICE,
            description="Output EndpointService of the server's stack",
        )
        group = LinkGroup(self, vpc=network.vpc, callers=network.cidr, port=port)
        endpoint = ec2.InterfaceVpcEndpoint(
            self,
            "ToServer",
            vpc=network.vpc,
            service=ec2.InterfaceVpcEndpointService(name, port),
            service_region=None if server.region == stack.region else server.region,
            private_dns_enabled=False,
            security_groups=[group],
            open=False,
            subnets=ec2.SubnetSelection(subnets=network.vpc.isolated_subnets),
        )
        # Each entry is "<hosted zone>:<name>", the Regional name first.
        self.host = cdk.Fn.select(1, cdk.Fn.split(":", cdk.Fn.select(0, endpoint.vpc_endpoint_dns_entries)))
        """The name by which the client's jobs dial the server."""
