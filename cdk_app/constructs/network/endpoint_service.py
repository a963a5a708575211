"""The server's door for clients by PrivateLink: one load balancer, however many they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.checks import acknowledge
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.network.security_groups import BalancerGroup
from cdk_app.naming import ClientNames

HEALTH_SECONDS: Final = 10
"""Between two looks at whether the server listens."""


class EndpointService(Construct):
    """An internal load balancer that passes TCP on to the server, and the service that clients connect to.

    TLS is between job and server, as over a peering: the load balancer has no certificate. A connection
    needs an account of the list, and the server's operator, who accepts it.

    Parameters
    ----------
    callers
        Blocks that jobs may have addresses of: clients may share theirs, so none tells who dials.
    clients
        The accounts that may ask for a connection, in whichever Region.
    port
        The one port that passes.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        network: Network,
        callers: Sequence[str],
        clients: Sequence[ClientNames],
        port: int,
    ) -> None:
        super().__init__(scope, "LinkService")
        stack = cdk.Stack.of(self)
        group = BalancerGroup(self, vpc=network.vpc, callers=callers, to=network.cidr, port=port)
        balancer = elb.NetworkLoadBalancer(
            self,
            "Balancer",
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=network.vpc.isolated_subnets),
            internet_facing=False,
            # The server is in one zone, a client's endpoint in two.
            cross_zone_enabled=True,
            security_groups=[group],
            enforce_security_group_inbound_rules_on_private_link_traffic=True,
        )
        acknowledge(
            balancer,
            {"ELB2": "It passes TCP through, and only TLS listeners write access logs; flow logs see all."},
        )
        targets = elb.NetworkTargetGroup(
            self,
            "Server",
            vpc=network.vpc,
            port=port,
            protocol=elb.Protocol.TCP,
            target_type=elb.TargetType.IP,
            # Clients may share addresses: the server sees the load balancer's.
            preserve_client_ip=False,
            # A run has ended when its server goes: there is nothing to wait for.
            deregistration_delay=cdk.Duration.seconds(0),
            health_check=elb.HealthCheck(
                protocol=elb.Protocol.TCP,
                interval=cdk.Duration.seconds(HEALTH_SECONDS),
                healthy_threshold_count=2,
                unhealthy_threshold_count=2,
            ),
        )
        balancer.add_listener("Link", port=port, protocol=elb.Protocol.TCP, default_target_groups=[targets])
        accounts = sorted({client.account for client in clients})
        away = sorted({client.region for client in clients} - {stack.region})
        service = ec2.VpcEndpointService(
            self,
            "Service",
            vpc_endpoint_service_load_balancers=[balancer],
            acceptance_required=True,
            allowed_principals=[
                iam.ArnPrincipal(f"arn:{cdk.Aws.PARTITION}:iam::{account}:root") for account in accounts
            ],
            allowed_regions=away or None,
        )
        self.target_group_arn: str = targets.target_group_arn
        output = cdk.CfnOutput(
            self,
            "Name",
            value=service.vpc_endpoint_service_name,
            description="The one value that clients by PrivateLink are told",
        )
        # Named in the docs and read by people, hence without a hash.
        output.override_logical_id("EndpointService")
