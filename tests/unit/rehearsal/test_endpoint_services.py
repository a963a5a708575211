"""Endpoint services of the emulated AWS: who finds one, who accepts, and whose packets get through when."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.ec2.models import ec2_backends

from rehearsal.aws.errors import AwsError
from rehearsal.aws.principals import Principal
from rehearsal.aws.privatelink import PrivateLink, is_of_a_customer, way
from rehearsal.aws.protocol import Call

HOME, AWAY = "eu-west-1", "eu-central-1"
OWNER, CLIENT, STRANGER = "123456789012", "222222222222", "999999999999"
ZONES = [f"{HOME}a", f"{HOME}b"]
PRIVATE = "10.0.0.0/8"


def call(account: str, operation: str, region: str = HOME, **parameters: Any) -> Call:
    principal = Principal(account, f"arn:aws:iam::{account}:user/administrator")
    return Call("ec2", operation, parameters, region, principal)


def network(account: str, region: str, zones: list[str], let_in: str | None) -> dict[str, Any]:
    """A VPC with a subnet in each zone, and a group that lets port 9092 in."""
    ec2 = ec2_backends[account][region]
    vpc = ec2.create_vpc("10.0.1.0/24")
    blocks = ["10.0.1.0/25", "10.0.1.128/25"]
    subnets = [
        ec2.create_subnet(vpc.id, block, availability_zone=zone).id
        for block, zone in zip(blocks, zones, strict=False)
    ]
    group = ec2.create_security_group("g", "g", vpc_id=vpc.id)
    if let_in:
        ranges = [{"CidrIp": let_in, "Description": ""}]
        ec2.authorize_security_group_ingress(group.id, "tcp", "9092", "9092", ranges)
    return {"VpcId": vpc.id, "SubnetIds": subnets, "SecurityGroupIds": [group.id]}


@dataclass
class Service:
    """A service of the owner's with one listener, and the target group behind it."""

    let_in: str = PRIVATE
    link: PrivateLink = field(default_factory=PrivateLink)

    def __post_init__(self) -> None:
        there = network(OWNER, HOME, ZONES, self.let_in)
        self.balancing: Any = boto3.client("elbv2", region_name=HOME)
        self.ec2: Any = boto3.client("ec2", region_name=HOME)
        balancer = self.balancing.create_load_balancer(
            Name="b", Type="network", Subnets=there["SubnetIds"], SecurityGroups=there["SecurityGroupIds"]
        )["LoadBalancers"][0]["LoadBalancerArn"]
        self.group = self.balancing.create_target_group(
            Name="t", Protocol="TCP", Port=9092, VpcId=there["VpcId"], TargetType="ip"
        )["TargetGroups"][0]["TargetGroupArn"]
        forward = [{"Type": "forward", "TargetGroupArn": self.group}]
        self.balancing.create_listener(
            LoadBalancerArn=balancer, Protocol="TCP", Port=9092, DefaultActions=forward
        )
        made = self.ec2.create_vpc_endpoint_service_configuration(
            NetworkLoadBalancerArns=[balancer], AcceptanceRequired=True, SupportedRegions=[AWAY]
        )["ServiceConfiguration"]
        self.id, self.name = made["ServiceId"], made["ServiceName"]
        self.ec2.modify_vpc_endpoint_service_permissions(
            ServiceId=self.id, AddAllowedPrincipals=[f"arn:aws:iam::{CLIENT}:root"]
        )

    def endpoint(
        self,
        account: str = CLIENT,
        region: str = HOME,
        zones: list[str] | None = None,
        let_in: str | None = "10.0.1.0/24",
        **more: Any,
    ) -> dict[str, Any]:
        there = network(account, region, zones or ZONES, let_in)
        asked = {"ServiceName": self.name, "VpcEndpointType": "Interface", "PrivateDnsEnabled": False}
        made = self.link.create(call(account, "CreateVpcEndpoint", region, **there, **asked, **more))
        endpoint: dict[str, Any] = made["VpcEndpoint"]
        return endpoint

    def decide(self, endpoint: dict[str, Any], how: str = "accept", account: str = OWNER) -> list[Any]:
        request = {"ServiceId": self.id, "VpcEndpointIds": [endpoint["VpcEndpointId"]]}
        answer = getattr(self.link, how)(call(account, f"{how}VpcEndpointConnections", **request))
        unsuccessful: list[Any] = answer["Unsuccessful"]
        return unsuccessful

    def register(self, port: int) -> None:
        target = {"Id": "127.0.0.1", "Port": port}
        self.balancing.register_targets(TargetGroupArn=self.group, Targets=[target])


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def service(aws: None) -> Iterator[Service]:
    made = Service()
    with closing(made.link):
        yield made


def leads(endpoint: dict[str, Any], account: str = CLIENT) -> tuple[str, int] | None:
    return way(account, HOME, endpoint["VpcEndpointId"], 9092)


def test_an_endpoint_waits_until_the_service_s_owner_accepts_it(service: Service) -> None:
    endpoint = service.endpoint()
    assert endpoint["State"] == "pendingAcceptance"
    service.register(7)
    assert leads(endpoint) is None
    with pytest.raises(AwsError, match="does not exist"):
        service.decide(endpoint, account=CLIENT)
    assert leads(endpoint) is None
    assert service.decide(endpoint) == []
    assert leads(endpoint) == ("127.0.0.1", 7)
    assert service.decide(endpoint), "it is accepted already"
    assert service.decide(endpoint, "reject") == []
    assert leads(endpoint) is None


def test_it_leads_to_nobody_without_a_target(service: Service) -> None:
    endpoint = service.endpoint()
    service.decide(endpoint)
    assert leads(endpoint) is None


def test_bytes_pass_both_ways_and_a_connection_is_cut_where_none_may(service: Service) -> None:
    endpoint = service.endpoint()
    service.decide(endpoint)
    address = (endpoint["DnsEntries"][0]["DnsName"], 9092)
    with socket.create_connection(address, timeout=30) as near:
        assert near.recv(1) == b""
    with socket.create_server(("127.0.0.1", 0)) as server:
        service.register(server.getsockname()[1])
        with socket.create_connection(address, timeout=30) as near:
            far, _ = server.accept()
            near.sendall(b"up")
            assert far.recv(2) == b"up"
            far.sendall(b"down")
            assert near.recv(4) == b"down"
            far.close()
            assert near.recv(1) == b""


@pytest.mark.parametrize(
    ("account", "region", "more"),
    [
        (STRANGER, HOME, {}),
        (CLIENT, "us-east-1", {"ServiceRegion": HOME}),
        (CLIENT, AWAY, {}),
        (CLIENT, AWAY, {"ServiceRegion": AWAY}),
    ],
    ids=["another account", "a Region that is not listed", "without the service's", "with another"],
)
def test_whoever_is_not_listed_finds_no_service(
    service: Service, account: str, region: str, more: dict[str, str]
) -> None:
    zones = [f"{region}a", f"{region}b"]
    with pytest.raises(AwsError, match="InvalidServiceName"):
        service.endpoint(account, region, zones, **more)


def test_a_listed_region_finds_it(service: Service) -> None:
    endpoint = service.endpoint(CLIENT, AWAY, [f"{AWAY}a", f"{AWAY}b"], ServiceRegion=HOME)
    assert endpoint["State"] == "pendingAcceptance"
    found = service.link.connections(call(OWNER, "DescribeVpcEndpointConnections"))["VpcEndpointConnections"]
    assert [(c["VpcEndpointOwner"], c["VpcEndpointRegion"]) for c in found] == [(CLIENT, AWAY)]


def test_two_clients_may_have_the_same_addresses(service: Service) -> None:
    other = "333333333333"
    service.ec2.modify_vpc_endpoint_service_permissions(
        ServiceId=service.id, AddAllowedPrincipals=[f"arn:aws:iam::{other}:root"]
    )
    first, second = service.endpoint(), service.endpoint(other)
    service.register(7)
    service.decide(first)
    assert (leads(first), leads(second, other)) == (("127.0.0.1", 7), None)
    wanted = [{"Name": "vpc-endpoint-owner", "Values": [other]}]
    asked = call(OWNER, "DescribeVpcEndpointConnections", Filters=wanted)
    (found,) = service.link.connections(asked)["VpcEndpointConnections"]
    assert found["VpcEndpointId"] == second["VpcEndpointId"]


@pytest.mark.parametrize("let_in", [None, "10.0.2.0/24"])
def test_the_endpoint_s_own_group_has_to_let_the_network_in(service: Service, let_in: str | None) -> None:
    endpoint = service.endpoint(let_in=let_in)
    service.decide(endpoint)
    service.register(7)
    assert leads(endpoint) is None


@pytest.mark.usefixtures("aws")
def test_so_has_the_load_balancer_s() -> None:
    service = Service(let_in="192.168.0.0/16")
    with closing(service.link):
        endpoint = service.endpoint()
        service.decide(endpoint)
        service.register(7)
        assert leads(endpoint) is None


def test_an_endpoint_stands_in_zones_of_the_balancer_and_takes_no_name(service: Service) -> None:
    with pytest.raises(AwsError, match=f"does not support the zone {HOME}c"):
        service.endpoint(zones=[f"{HOME}a", f"{HOME}c"])
    with pytest.raises(AwsError, match="no private DNS name"):
        service.link.create(
            call(
                CLIENT, "CreateVpcEndpoint", ServiceName=service.name, VpcId="x", VpcEndpointType="Interface"
            )
        )


def test_a_service_that_somebody_is_connected_to_is_not_deleted(service: Service) -> None:
    endpoint = service.endpoint()
    delete = call(OWNER, "DeleteVpcEndpointServiceConfigurations", ServiceIds=[service.id])
    (refused,) = service.link.delete_services(delete)["Unsuccessful"]
    assert refused["Error"]["Code"] == "ExistingVpcEndpointConnections"
    service.decide(endpoint, "reject")
    assert service.link.delete_services(delete)["Unsuccessful"] == []
    assert leads(endpoint) is None


@pytest.mark.parametrize(
    ("name", "region", "ours"),
    [
        ("com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0", None, True),
        ("com.amazonaws.eu-west-1.s3", None, False),
        ("com.amazonaws.eu-central-1.s3", "eu-central-1", False),
    ],
)
def test_a_customer_s_service_is_told_by_its_name(name: str, region: str | None, ours: bool) -> None:
    more = {"ServiceRegion": region} if region else {}
    assert is_of_a_customer(call(CLIENT, "CreateVpcEndpoint", ServiceName=name, **more)) is ours


def test_aws_s_own_service_of_another_region_needs_to_be_asked_for_there() -> None:
    asked = call(CLIENT, "CreateVpcEndpoint", ServiceName="com.amazonaws.eu-central-1.s3")
    with pytest.raises(AwsError, match="InvalidServiceName"):
        is_of_a_customer(asked)


def test_a_filter_that_is_not_applied_is_refused(service: Service) -> None:
    asked = call(OWNER, "DescribeVpcEndpointConnections", Filters=[{"Name": "x", "Values": ["y"]}])
    with pytest.raises(AwsError, match="filters no connections by"):
        service.link.connections(asked)
