"""What an account's owner has before Fedstack comes: a network, a key, a boundary; and rules for names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from cdk_app.regions import interface_service, partition
from rehearsal.aws.client import Rehearsed

ALLOWED: Final = (
    *("cloudwatch", "dynamodb", "ec2", "ecr", "elasticloadbalancing", "events", "kms", "logs"),
    *("s3", "sagemaker", "ssm", "states", "sts", "xray"),
)
"""Services of which a boundary lets roles do what their policies say. IAM is not one of them."""


class OwnPlace:
    """One account with what its owner brings.

    Parameters
    ----------
    word
        What the owner's names begin with.
    cidr
        The network's block; half of it for each zone.
    """

    def __init__(self, aws: Rehearsed, account: str, region: str, word: str, cidr: str) -> None:
        self._aws, self._account, self.region, self._word = aws, account, region, word
        self._halves = [cidr.replace(".0/24", f".{start}/25") for start in (0, 128)]
        self.zones = [f"{region}a", f"{region}b"]
        self.vpc = self._network(cidr)
        document = {"Effect": "Allow", "Action": [f"{service}:*" for service in ALLOWED], "Resource": "*"}
        roles = f"arn:{partition(region)}:iam::{account}:role/{word}/*"
        self.boundary = self.client("iam").create_policy(
            PolicyName="developers",
            Path="/org/",
            PolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        document,
                        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": roles},
                    ],
                }
            ),
        )["Policy"]["Arn"]
        self.key = self.client("kms").create_key(Description="Data")["KeyMetadata"]["Arn"]

    def client(self, service: str) -> Any:
        """Return the owner's client of a service."""
        return self._aws.client(self._aws.administrator(self._account), self.region, service)

    def _network(self, cidr: str) -> dict[str, Any]:
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=half, AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for half, zone in zip(self._halves, self.zones, strict=True)
        ]
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        for subnet in subnets:
            ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            VpcEndpointType="Gateway",
            ServiceName=f"com.amazonaws.{self.region}.s3",
            RouteTableIds=[table],
        )
        return {"vpc_id": vpc, "subnet_ids": subnets, "route_table_ids": [table, table]}

    def add_endpoints(self, *services: str) -> None:
        """Add interface endpoints of AWS's services, as an owner has to."""
        for service in services:
            self.client("ec2").create_vpc_endpoint(
                VpcId=self.vpc["vpc_id"],
                VpcEndpointType="Interface",
                ServiceName=interface_service(service, self.region),
                SubnetIds=self.vpc["subnet_ids"],
                PrivateDnsEnabled=True,
            )

    def options(self, buckets: Mapping[str, str]) -> dict[str, Any]:
        """Return what the account's block in federation.yaml says of all that."""
        return {
            "account": self._account,
            "region": self.region,
            "availability_zones": self.zones,
            "vpc": self.vpc,
            "key_arn": self.key,
            "permissions_boundary": self.boundary,
            "bootstrap_qualifier": self._word,
            "names": {
                "role_path": f"/{self._word}/fl/",
                "role_prefix": f"{self._word}-",
                "buckets": {key: f"{self._word}-{name}" for key, name in buckets.items()},
            },
        }

    def take_back(self) -> None:
        """Take away what was there before: that it can be shows that no stack has left anything in it."""
        ec2, vpc = self.client("ec2"), self.vpc["vpc_id"]
        mine = [{"Name": "vpc-id", "Values": [vpc]}]
        groups = ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
        assert [group["GroupName"] for group in groups] == ["default"]
        endpoints = ec2.describe_vpc_endpoints(Filters=mine)["VpcEndpoints"]
        ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint["VpcEndpointId"] for endpoint in endpoints])
        for subnet in self.vpc["subnet_ids"]:
            ec2.delete_subnet(SubnetId=subnet)
        for table in ec2.describe_route_tables(Filters=mine)["RouteTables"]:
            for association in table["Associations"]:
                if not association["Main"]:
                    ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
            if table["RouteTableId"] in self.vpc["route_table_ids"]:
                ec2.delete_route_table(RouteTableId=table["RouteTableId"])
        ec2.delete_vpc(VpcId=vpc)
        self.client("iam").delete_policy(PolicyArn=self.boundary)
        self.client("kms").schedule_key_deletion(KeyId=self.key.rpartition("/")[2], PendingWindowInDays=7)

    def is_bounded(self, roles: list[str]) -> bool:
        """Whether every one of these roles is under the path and has the boundary."""
        found = [self.client("iam").get_role(RoleName=role)["Role"] for role in roles]
        path = f"arn:{partition(self.region)}:iam::{self._account}:role/{self._word}/fl/{self._word}-FL-"
        return all(
            role["Arn"].startswith(path)
            and role["PermissionsBoundary"]["PermissionsBoundaryArn"] == self.boundary
            for role in found
        )
