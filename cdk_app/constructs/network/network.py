"""An account's network: isolated subnets in two zones, S3 by gateway, and every flow logged."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Protocol

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from cdk_app.checks import accept
from cdk_app.constructs.network import endpoint_policy
from cdk_app.constructs.observability.log_group import EncryptedLogGroup
from cdk_app.constructs.once import home_of, known, objects
from cdk_app.constructs.storage.keys import Keys


class VpcIds(Protocol):
    """A VPC that the account already has, by its ids."""

    @property
    def vpc_id(self) -> str: ...  # noqa: D102
    @property
    def subnet_ids(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def route_table_ids(self) -> Sequence[str]: ...  # noqa: D102


class Network(Construct):
    """A VPC that nothing enters or leaves but by the endpoints and the peering that are added to it.

    Parameters
    ----------
    cidr
        Its address block; half of it for each zone.
    flow_log
        The log group of its flows.
    existing
        A VPC to use instead of a new one. Its endpoints and its flow logs are its owner's business.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        cidr: str,
        flow_log: str,
        keys: Keys,
        existing: VpcIds | None = None,
    ) -> None:
        super().__init__(scope, "Network")
        self.cidr = cidr
        self.is_ours = existing is None
        self._s3: ec2.GatewayVpcEndpoint | None = None
        self._subnet_ids: list[str] = []
        zones = cdk.Stack.of(self).availability_zones
        if existing is not None:
            self.vpc: ec2.IVpc = ec2.Vpc.from_vpc_attributes(
                self,
                "Vpc",
                vpc_id=existing.vpc_id,
                vpc_cidr_block=cidr,
                availability_zones=zones,
                isolated_subnet_ids=list(existing.subnet_ids),
                isolated_subnet_route_table_ids=list(existing.route_table_ids),
            )
            return
        self.vpc = self._new_vpc(cidr, zones)
        self._s3 = self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        self._log_flows(EncryptedLogGroup(self, "Flows", name=flow_log, key=keys.operations))

    @property
    def subnet_ids(self) -> list[str]:
        """The two isolated subnets."""
        self._subnet_ids = self._subnet_ids or [subnet.subnet_id for subnet in self.vpc.isolated_subnets]
        return self._subnet_ids

    @property
    def route_table_ids(self) -> list[str]:
        """Their route tables, each once: subnets of an existing VPC may share one."""
        return list(dict.fromkeys(s.route_table.route_table_id for s in self.vpc.isolated_subnets))

    def allow_s3(self, statement: iam.PolicyStatement) -> None:
        """Let one more thing through the S3 endpoint, which without a policy would let everything."""
        if self._s3 is not None:
            self._s3.add_to_policy(statement)

    def allow_own_buckets(self, bucket_arns: Sequence[str]) -> None:
        """Let the account's own principals work with these buckets."""
        self.allow_s3(endpoint_policy.own_buckets(home_of(self).account, bucket_arns))

    def allow_published(self, *assets: s3_assets.Asset) -> None:
        """Let the account's own principals fetch exactly what its deployment published."""
        files = [objects(asset.bucket, known(asset, "s3_object_key")) for asset in assets]
        self.allow_s3(endpoint_policy.allow("Published", ["s3:GetObject"], files, [home_of(self).account]))

    def allow_amazon_linux_packages(self) -> None:
        """Let a notebook install Python 3.12."""
        self.allow_s3(endpoint_policy.amazon_linux_packages(home_of(self).region))

    def _new_vpc(self, cidr: str, zones: list[str]) -> ec2.Vpc:
        isolated = ec2.SubnetConfiguration(
            name="Isolated",
            subnet_type=ec2.SubnetType.PRIVATE_ISOLATED,
            cidr_mask=ipaddress.IPv4Network(cidr).prefixlen + 1,
        )
        vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(cidr),
            availability_zones=zones,
            nat_gateways=0,
            # On, this would add a Lambda function; nothing of ours uses the default group.
            restrict_default_security_group=False,
            subnet_configuration=[isolated],
        )
        accept(
            vpc,
            "CloudFormation-Validate::W3010",
            "The federation file names the zones; synth looks nothing up.",
        )
        return vpc

    def _log_flows(self, group: EncryptedLogGroup) -> None:
        role = iam.Role(
            self,
            "FlowLogRole",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": home_of(self).account}},
            ),
            description="Writes this VPC's flow logs",
        )
        destination = ec2.FlowLogDestination.to_cloud_watch_logs(group, role)
        self.vpc.add_flow_log("FlowLog", destination=destination, traffic_type=ec2.FlowLogTrafficType.ALL)
