"""Who is let in by `fedstack accept`: the one endpoint of the client's own account and Region."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from assembly import example

from cdk_app.config.load import Federation, parse
from cdk_app.connections import accepted
from runtime.contract import FedstackError

SERVICE = "vpce-svc-0123456789abcdef0"


def federation() -> Federation:
    data = example()
    data["connectivity"] = "privatelink"
    data["clients"][1]["kickoff_endpoint"] = "vpce-0123.states.eu-central-1.vpce.amazonaws.com"
    data["clients"][2]["connectivity"] = "peering"
    return parse(data)


class Ec2:
    """An EC2 whose connections a test makes up."""

    def __init__(self, *found: dict[str, Any], refuses: bool = False) -> None:
        self.found, self.refuses, self.asked = list(found), refuses, list[dict[str, Any]]()

    def get_paginator(self, operation: str) -> Any:
        assert operation == "describe_vpc_endpoint_connections"

        def paginate(Filters: Any) -> list[dict[str, Any]]:  # noqa: N803 - boto3's name
            assert Filters == [{"Name": "service-id", "Values": [SERVICE]}]
            return [{"VpcEndpointConnections": [each]} for each in self.found] or [
                {"VpcEndpointConnections": []}
            ]

        return SimpleNamespace(paginate=paginate)

    def accept_vpc_endpoint_connections(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        return {"Unsuccessful": [{"Error": {"Message": "it is gone"}}] if self.refuses else []}


def stack(*outputs: str) -> Any:
    told = [{"OutputKey": key, "OutputValue": f"com.amazonaws.vpce.eu-west-1.{SERVICE}"} for key in outputs]
    return SimpleNamespace(describe_stacks=lambda **_: {"Stacks": [{"Outputs": told}]})


def connection(
    state: str = "pendingAcceptance", account: str = "222222222222", region: str = "eu-west-1", **more: str
) -> dict[str, Any]:
    found = {"VpcEndpointId": "vpce-1", "VpcEndpointOwner": account, "VpcEndpointState": state}
    return {**found, "VpcEndpointRegion": region, **more}


def accept(ec2: Ec2, name: str = "north", *outputs: str) -> str:
    return accepted(ec2, stack(*(outputs or ("VpcId", "EndpointService"))), federation(), name)


def test_the_client_s_own_endpoint_is_accepted() -> None:
    ec2 = Ec2(connection(account="333333333333", VpcEndpointId="vpce-2"), connection())
    assert accept(ec2) == "north: vpce-1 of account 222222222222 is accepted."
    assert ec2.asked == [{"ServiceId": SERVICE, "VpcEndpointIds": ["vpce-1"]}]


def test_one_that_is_accepted_already_is_left_alone() -> None:
    ec2 = Ec2(connection("available"), connection("rejected", VpcEndpointId="vpce-0"))
    assert "accepted already" in accept(ec2)
    assert ec2.asked == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((), "No endpoint of account 222222222222 in eu-west-1 asks"),
        ((connection(account="999999999999"),), "No endpoint"),
        ((connection(region="eu-central-1"),), "No endpoint"),
        ((connection(), connection(VpcEndpointId="vpce-2")), "vpce-1, vpce-2 at"),
        ((connection("available"), connection(VpcEndpointId="vpce-2")), "a client has one"),
    ],
)
def test_nothing_else_is(found: tuple[dict[str, Any], ...], said: str) -> None:
    ec2 = Ec2(*found)
    with pytest.raises(FedstackError, match=said):
        accept(ec2)
    assert ec2.asked == []


def test_a_client_that_peers_or_that_nobody_knows_is_refused() -> None:
    with pytest.raises(FedstackError, match="connectivity is peering"):
        accept(Ec2(connection(account="444444444444")), "west")
    with pytest.raises(FedstackError, match="no client"):
        accept(Ec2(), "nobody")


def test_a_stack_without_a_service_and_a_refusal_of_aws_are_told() -> None:
    with pytest.raises(FedstackError, match="has no endpoint service"):
        accept(Ec2(), "north", "VpcId")
    with pytest.raises(FedstackError, match="it is gone"):
        accept(Ec2(connection(), refuses=True))
