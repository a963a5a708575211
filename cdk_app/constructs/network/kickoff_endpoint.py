"""How a server in another Region reaches the client's broker: an endpoint here, called over the peering."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from cdk_app.constructs.network import endpoint_policy
from cdk_app.constructs.network.endpoints import InterfaceEndpoints
from cdk_app.constructs.once import home_of


class KickoffEndpoint(Construct):
    """Step Functions, opened to the server's network for this one broker.

    PrivateLink does not carry Step Functions across Regions, so the call crosses the peering instead.
    """

    def __init__(self, scope: Construct, *, vpc: ec2.IVpc, server_cidr: str, state_machine_arn: str) -> None:
        super().__init__(scope, "KickoffEndpoint")
        home = home_of(self)
        doors = InterfaceEndpoints(self, vpc=vpc, region=home.region, callers=[server_cidr])
        policy = endpoint_policy.brokers([home.account], state_machine_arn)
        endpoint = doors.add("states", policy, private_dns=False)
        # Each entry is "<hosted zone>:<name>", the Regional name first.
        name = cdk.Fn.select(1, cdk.Fn.split(":", cdk.Fn.select(0, endpoint.vpc_endpoint_dns_entries)))
        output = cdk.CfnOutput(
            self, "Name", value=name, description="For the server's operator: kickoff_endpoint of this client"
        )
        # Named in the docs and read by people, hence without a hash.
        output.override_logical_id("KickoffEndpoint")
