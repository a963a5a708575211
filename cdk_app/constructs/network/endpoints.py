"""Interface endpoints: the few AWS APIs that are called from a network without internet."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.regions import interface_service


class InterfaceEndpoints(Construct):
    """Private doors to single AWS services, each with a policy, behind one security group.

    Parameters
    ----------
    vpc
        Where they stand.
    region
        The VPC's Region.
    callers
        CIDR blocks that may call them, on port 443.
    """

    def __init__(self, scope: Construct, *, vpc: ec2.IVpc, region: str, callers: Sequence[str]) -> None:
        super().__init__(scope, "Endpoints")
        self._vpc = vpc
        self._region = region
        self._group = ec2.SecurityGroup(
            self,
            "Group",
            vpc=vpc,
            allow_all_outbound=False,
            description="Interface endpoints: HTTPS in, nothing out",
        )
        for cidr in callers:
            self._group.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(443), f"AWS APIs from {cidr}")

    def add(
        self,
        service: str,
        policy: iam.PolicyStatement,
        *,
        region: str | None = None,
        private_dns: bool = True,
        zones: int = 2,
    ) -> ec2.InterfaceVpcEndpoint:
        """Open the door to one service.

        Parameters
        ----------
        service
            `sts`, `states`, `sagemaker.api`, `elasticloadbalancing`, `ssm`, `kms` or `s3`.
        policy
            What may be called through it.
        region
            The service's Region where it is not the VPC's (cross-Region PrivateLink, e.g. for S3).
        private_dns
            Off where the endpoint is called by its own name, from the other side of the peering.
        zones
            In how many of the VPC's zones it stands; each is paid for, and any reaches it.
        """
        endpoint = ec2.InterfaceVpcEndpoint(
            self,
            service if region is None else f"{service}-{region}",
            vpc=self._vpc,
            service=ec2.InterfaceVpcEndpointService(interface_service(service, region or self._region), 443),
            service_region=region,
            private_dns_enabled=private_dns,
            # For S3, AWS assumes otherwise that only inbound resolvers ask, and wants a gateway in this VPC.
            private_dns_only_for_inbound_resolver_endpoint=(
                ec2.VpcEndpointPrivateDnsOnlyForInboundResolverEndpoint.ALL_RESOLVERS
                if service == "s3" and private_dns
                else None
            ),
            security_groups=[self._group],
            open=False,
            subnets=ec2.SubnetSelection(subnets=self._vpc.isolated_subnets[:zones]),
        )
        endpoint.add_to_policy(policy)
        return endpoint
