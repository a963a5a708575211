"""Networks: nothing but the link's port between accounts, one way, and no road to the internet."""

from __future__ import annotations

from typing import Any

import pytest
from assembly import (
    NORTH,
    PEER_NORTH,
    PEER_SOUTH,
    PEER_WEST,
    SERVER,
    SOUTH,
    WEST,
    Assembly,
    Template,
    of_type,
    one,
    plain,
)

ACCOUNTS = [SERVER, NORTH, SOUTH]


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_there_is_no_way_to_the_internet(templates: dict[str, Template], stack: str) -> None:
    kinds = {resource["Type"] for resource in templates[stack]["Resources"].values()}
    assert not kinds & {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::EIP"}
    assert all(
        subnet.get("MapPublicIpOnLaunch") is False
        for subnet in of_type(templates[stack], "EC2::Subnet").values()
    )
    for route in of_type(templates[stack], "EC2::Route").values():
        assert route["DestinationCidrBlock"] != "0.0.0.0/0"


@pytest.mark.parametrize(
    ("stack", "cidr", "zones"),
    [
        (SERVER, "10.0.0", ["eu-west-1a", "eu-west-1b"]),
        (NORTH, "10.0.1", ["eu-west-1a", "eu-west-1b"]),
        (SOUTH, "10.0.2", ["eu-central-1a", "eu-central-1b"]),
    ],
)
def test_a_vpc_is_cut_into_one_subnet_per_zone(
    templates: dict[str, Template], stack: str, cidr: str, zones: list[str]
) -> None:
    subnets = of_type(templates[stack], "EC2::Subnet").values()
    assert [s["CidrBlock"] for s in subnets] == [f"{cidr}.0/25", f"{cidr}.128/25"]
    assert [s["AvailabilityZone"] for s in subnets] == zones


@pytest.mark.parametrize("stack", ACCOUNTS)
def test_all_flows_are_logged_under_the_operations_key(templates: dict[str, Template], stack: str) -> None:
    assert one(templates[stack], "EC2::FlowLog")["TrafficType"] == "ALL"
    for group in of_type(templates[stack], "Logs::LogGroup").values():
        assert plain(group["KmsKeyId"]) == "<KeysOperations5671B638.Arn>"
        assert group["RetentionInDays"] == 365


@pytest.mark.parametrize(
    ("stack", "services"),
    [
        (SERVER, {"sts", "sagemaker.api", "states", "s3 of eu-central-1", "s3"}),
        (NORTH, {"sagemaker.api", "s3", "kms"}),
        (SOUTH, {"states", "s3", "kms"}),
        (WEST, {"s3", "kms"}),
    ],
)
def test_there_are_only_the_endpoints_that_are_called_and_each_has_a_policy(
    templates: dict[str, Template], stack: str, services: set[str]
) -> None:
    found = set()
    for endpoint in of_type(templates[stack], "EC2::VPCEndpoint").values():
        assert endpoint["PolicyDocument"]["Statement"]
        service = (
            plain(endpoint["ServiceName"]).split(".", 3)[3]
            if endpoint["VpcEndpointType"] == "Interface"
            else "s3"
        )
        found.add(f"{service} of {endpoint['ServiceRegion']}" if "ServiceRegion" in endpoint else service)
    assert found == services


def rules(group: dict[str, Any], way: str) -> set[tuple[str, int]]:
    return {(rule["CidrIp"], rule["FromPort"]) for rule in group.get(way, []) if rule["IpProtocol"] == "tcp"}


@pytest.mark.parametrize("stack", [NORTH, SOUTH])
def test_a_job_dials_the_server_s_port_and_s3_and_nobody_dials_it(
    templates: dict[str, Template], stack: str
) -> None:
    group = one(
        templates[stack], "EC2::SecurityGroup", GroupDescription="Federated training jobs: dial out only"
    )
    assert rules(group, "SecurityGroupEgress") == {("10.0.0.0/24", 9092), ("0.0.0.0/0", 443)}
    assert "SecurityGroupIngress" not in group


def test_nothing_comes_into_the_server_but_the_link_from_each_client(templates: dict[str, Template]) -> None:
    group = one(templates[SERVER], "EC2::SecurityGroup", GroupDescription="Notebook of the federation")
    assert "SecurityGroupIngress" not in group
    for stack, cidr in ((PEER_NORTH, "10.0.1.0/24"), (PEER_SOUTH, "10.0.2.0/24"), (PEER_WEST, "10.0.3.0/24")):
        rule = one(templates[stack], "EC2::SecurityGroupIngress")
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], rule["CidrIp"]) == (
            "tcp",
            9092,
            9092,
            cidr,
        )


@pytest.mark.parametrize(("stack", "client"), [(NORTH, "north"), (SOUTH, "south")])
def test_the_client_requests_the_peering_and_both_subnets_route_to_the_server(
    templates: dict[str, Template], stack: str, client: str
) -> None:
    peering = one(templates[stack], "EC2::VPCPeeringConnection")
    assert (peering["PeerOwnerId"], peering["PeerRegion"]) == ("111111111111", "eu-west-1")
    assert plain(peering["PeerVpcId"]) == "<ServerVpcId>"
    assert plain(peering["PeerRoleArn"]).endswith(f":iam::111111111111:role/FL-accept-peering-cms-{client}")
    routes = of_type(templates[stack], "EC2::Route").values()
    assert {route["DestinationCidrBlock"] for route in routes} == {"10.0.0.0/24"}
    assert len({plain(route["RouteTableId"]) for route in routes}) == 2


def test_the_server_routes_back_from_both_subnets(templates: dict[str, Template]) -> None:
    routes = of_type(templates[PEER_NORTH], "EC2::Route").values()
    assert {route["DestinationCidrBlock"] for route in routes} == {"10.0.1.0/24"}
    assert {plain(route["VpcPeeringConnectionId"]) for route in routes} == {"<PeeringId>"}
    assert len({plain(route["RouteTableId"]["Fn::ImportValue"]) for route in routes}) == 2


def test_a_client_in_another_region_opens_its_own_broker_s_endpoint_to_the_server_only(
    templates: dict[str, Template],
) -> None:
    endpoint = one(templates[SOUTH], "EC2::VPCEndpoint", ServiceName="com.amazonaws.eu-central-1.states")
    assert endpoint["PrivateDnsEnabled"] is False
    [group] = endpoint["SecurityGroupIds"]
    template = templates[SOUTH]["Resources"][group["Fn::GetAtt"][0]]["Properties"]
    assert rules(template, "SecurityGroupIngress") == {("10.0.0.0/24", 443)}
    assert "KickoffEndpoint" in templates[SOUTH]["Outputs"]


@pytest.mark.parametrize(
    ("stack", "account", "cidr"),
    [
        (NORTH, "222222222222", "10.0.1.0/24"),
        (SOUTH, "333333333333", "10.0.2.0/24"),
        (WEST, "444444444444", "10.0.3.0/24"),
    ],
)
def test_a_job_reaches_kms_from_its_own_network_to_sign_with_its_own_key_only(
    templates: dict[str, Template], stack: str, account: str, cidr: str
) -> None:
    region = stack.partition(f"{account}-")[2]
    endpoint = one(templates[stack], "EC2::VPCEndpoint", ServiceName=f"com.amazonaws.{region}.kms")
    [statement] = endpoint["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "kms:Sign")
    assert plain(statement["Resource"]) == "<JobSigningKey0BC5204F.Arn>"
    assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": [account]}}
    assert endpoint["PrivateDnsEnabled"] is True
    assert len(endpoint["SubnetIds"]) == 1, "a second zone costs as much again, and a run signs once"
    [group] = endpoint["SecurityGroupIds"]
    template = templates[stack]["Resources"][group["Fn::GetAtt"][0]]["Properties"]
    assert rules(template, "SecurityGroupIngress") == {(cidr, 443)}


def test_an_existing_vpc_is_used_and_left_as_it_is(other: Assembly) -> None:
    template = other.templates[SOUTH]
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert one(template, "KMS::Key", KeyUsage="SIGN_VERIFY")
    assert not [
        endpoint
        for endpoint in of_type(template, "EC2::VPCEndpoint").values()
        if plain(endpoint["ServiceName"]).endswith("kms")
    ]
    assert not kinds & {"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::RouteTable", "AWS::EC2::FlowLog"}
    assert one(template, "EC2::VPCPeeringConnection")["VpcId"] == "vpc-0123456789abcdef0"
    assert {route["RouteTableId"] for route in of_type(template, "EC2::Route").values()} == {
        "rtb-0123456789abcdef0",
        "rtb-0123456789abcdef1",
    }


def test_values_that_the_file_knows_are_no_parameters(other: Assembly) -> None:
    assert one(other.templates[SOUTH], "EC2::VPCPeeringConnection")["PeerVpcId"] == "vpc-0fedcba9876543210"
    assert "ServerVpcId" not in other.templates[SOUTH]["Parameters"]
    assert "PeeringId" not in other.templates[PEER_SOUTH]["Parameters"]
