"""Connections by PrivateLink as a preflight judges them, from both ends."""

from __future__ import annotations

from typing import Any

import pytest
from made_up_account import HUB, OWN, a_side, problems

from cdk_app.preflight.checks import endpoints, quotas, routes
from cdk_app.preflight.checks.privatelink import PERMISSIONS, SERVICE, privatelink
from cdk_app.preflight.deployed import DeployedStack
from cdk_app.preflight.side import Side

NAME = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
ALLOWED = "arn:aws:iam::222222222222:root"
ENDPOINT = {"VpcEndpointType": "Interface", "ServiceName": NAME}


def by_link(data: dict[str, Any]) -> None:
    data["clients"][0]["connectivity"] = "privatelink"


def existing(data: dict[str, Any]) -> None:
    data["clients"][0]["connectivity"] = "existing"


def deployed(**resources: tuple[str, dict[str, Any]]) -> DeployedStack:
    template = {"Resources": {k: {"Type": t, "Properties": p} for k, (t, p) in resources.items()}}
    listed = [{"LogicalResourceId": name, "PhysicalResourceId": f"{name}-1"} for name in resources]
    return DeployedStack(
        {"StackName": "s", "StackStatus": "CREATE_COMPLETE"}, template, listed, "1", "eu-west-1"
    )


def connection(state: str = "available", endpoint: str = "vpce-1", **more: str) -> dict[str, Any]:
    found = {"VpcEndpointId": endpoint, "VpcEndpointState": state, "VpcEndpointOwner": "222222222222"}
    return {**found, "VpcEndpointRegion": "eu-west-1", **more}


def server(*found: dict[str, Any], allowed: tuple[str, ...] = (ALLOWED,), required: bool = True) -> Side:
    stack = deployed(
        Service=(SERVICE, {}), Permissions=(PERMISSIONS, {"AllowedPrincipals": [ALLOWED], "ServiceId": "s"})
    )
    return a_side(
        None,
        by_link,
        stacks={"cms-server-111111111111-eu-west-1": stack},
        describe_vpc_endpoint_service_configurations={
            "ServiceConfigurations": [{"AcceptanceRequired": required}]
        },
        describe_vpc_endpoint_service_permissions={"AllowedPrincipals": [{"Principal": p} for p in allowed]},
        describe_vpc_endpoint_connections={"VpcEndpointConnections": list(found)},
    )


def client(state: str) -> Any:
    live = {"VpcEndpointId": "Link-1", "VpcId": OWN, "State": state, **ENDPOINT}
    return a_side(
        "north",
        by_link,
        stacks={
            "cms-client-north-222222222222-eu-west-1": deployed(Link=("AWS::EC2::VPCEndpoint", ENDPOINT))
        },
        describe_vpc_endpoints={"VpcEndpoints": [live]},
    )


def test_an_accepted_endpoint_is_content_on_both_sides() -> None:
    assert problems(privatelink(server(connection()))) == []
    assert problems(privatelink(client("available"))) == []


@pytest.mark.parametrize("state", ["pendingAcceptance", "PendingAcceptance"])
def test_one_that_waits_is_the_server_s_work_and_no_fault_of_the_endpoint(state: str) -> None:
    (found,) = problems(privatelink(client(state)))
    assert (found.owner.name, found.fix.startswith("`fedstack accept north`")) == ("server", True)
    assert problems(endpoints.endpoints(client(state))) == []
    (found,) = problems(privatelink(server(connection("pendingAcceptance"))))
    assert (found.owner.is_server, "waits to be accepted" in found.cause) == (True, True)


def test_a_rejected_endpoint_is_the_operator_s_decision() -> None:
    (found,) = problems(privatelink(client("rejected")))
    assert (found.owner.name, "rejected" in found.cause) == ("server", True)
    (found,) = problems(privatelink(server(connection("rejected"))))
    assert (found.owner.name, "No endpoint of north" in found.cause) == ("north", True)


@pytest.mark.parametrize("more", [{"VpcEndpointOwner": "999999999999"}, {"VpcEndpointRegion": "us-east-1"}])
def test_another_account_s_or_region_s_endpoint_is_not_the_client_s(more: dict[str, str]) -> None:
    (found,) = problems(privatelink(server(connection(**more))))
    assert "No endpoint of north" in found.cause


def test_a_second_endpoint_of_the_account_is_told() -> None:
    (found,) = problems(privatelink(server(connection(), connection("pendingAcceptance", "vpce-2"))))
    assert "vpce-1, vpce-2, and north has one" in found.cause


def test_a_service_that_lists_others_or_accepts_by_itself_is_not_the_template_s() -> None:
    stranger = "arn:aws:iam::999999999999:root"
    (more,) = problems(privatelink(server(connection(), allowed=(ALLOWED, stranger))))
    assert f"{stranger} may connect" in more.cause
    (less,) = problems(privatelink(server(connection(), allowed=())))
    assert f"{ALLOWED} may not connect" in less.cause
    (opened,) = problems(privatelink(server(connection(), required=False)))
    assert "without being accepted" in opened.cause


def test_nothing_of_a_peering_is_asked_of_a_client_by_privatelink() -> None:
    side = client("available")
    side.account.answers["describe_route_tables"] = {"RouteTables": []}
    assert not list(routes.peering(side))
    assert not list(routes.routes(side))
    side.account.answers["list_service_quotas"] = {
        "Quotas": [{"QuotaName": "ml.m5.xlarge for training job usage", "Value": 1.0}]
    }
    assert problems(quotas.quotas(side)) == []


@pytest.mark.parametrize(
    ("route", "good"),
    [
        ({"DestinationCidrBlock": "10.0.0.0/16", "TransitGatewayId": "tgw-1", "State": "active"}, True),
        ({"DestinationCidrBlock": "0.0.0.0/0", "CoreNetworkArn": "arn:core", "State": "active"}, True),
        ({"DestinationCidrBlock": "10.0.0.0/24", "TransitGatewayId": "tgw-1", "State": "blackhole"}, False),
        ({"DestinationCidrBlock": "10.0.0.0/25", "TransitGatewayId": "tgw-1", "State": "active"}, False),
        ({"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}, False),
    ],
)
def test_a_way_that_exists_is_looked_for_in_every_subnet(route: dict[str, Any], good: bool) -> None:
    table = {
        "RouteTableId": "rtb-1",
        "VpcId": OWN,
        "Associations": [{"SubnetId": "subnet-1"}, {"SubnetId": "subnet-2"}],
        "Routes": [route],
    }
    side = a_side(
        "north",
        existing,
        describe_route_tables={"RouteTables": [table]},
        describe_vpc_peering_connections={"VpcPeeringConnections": []},
    )
    assert HUB != OWN
    assert len(problems(routes.routes(side))) == (0 if good else 2)
