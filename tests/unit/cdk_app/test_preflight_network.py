"""Addresses, peerings, routes, rules and endpoints, as a preflight judges what AWS says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from made_up_account import HUB, OWN, a_side, peering, problems, stack

from cdk_app.preflight.checks import addresses, endpoints, routes, rules

PEER_NORTH = "cms-server-peer-north-111111111111-eu-west-1"


def peered(client: str | None, *found: dict[str, Any], **answers: Any) -> Any:
    return a_side(
        client, None, describe_vpc_peering_connections={"VpcPeeringConnections": list(found)}, **answers
    )


@pytest.mark.parametrize(
    ("status", "message", "owner"),
    [
        ("deleted", "Deleted by 111111111111", "server"),
        ("deleted", "Deleted by 222222222222", "north"),
        ("rejected", "Rejected by 111111111111", "server"),
        ("pending-acceptance", "Pending Acceptance by 111111111111", "server"),
        ("expired", "", "north"),
        ("failed", "overlapping CIDR", "north"),
    ],
)
@pytest.mark.parametrize("who", [None, "north"])
def test_a_peering_that_is_not_active_is_whose_aws_says(
    who: str | None, status: str, message: str, owner: str
) -> None:
    side = peered(who, peering(status, message))
    (found,) = (p for p in problems(routes.peering(side)) if "pcx-1" in p.cause)
    assert (found.owner.name, status in found.cause) == (owner, True)


def test_a_client_without_a_peering_is_told_to_deploy_and_an_old_one_is_passed_over() -> None:
    (found,) = problems(routes.peering(peered("north")))
    assert (found.owner.name, "No peering" in found.cause) == ("north", True)
    assert problems(routes.peering(peered("north", peering("deleted", identity="pcx-0"), peering()))) == []


def test_a_peering_with_another_vpc_of_the_same_account_is_not_this_one() -> None:
    other = peering(requester={"VpcId": "vpc-another"})
    (found,) = problems(routes.peering(peered("north", other)))
    assert "No peering" in found.cause


def test_the_server_was_told_another_peering() -> None:
    told = {PEER_NORTH: stack(PEER_NORTH, PeeringId="pcx-0")}
    side = peered(None, peering(), stacks=told)
    (found,) = (p for p in problems(routes.peering(side)) if p.owner.is_server)
    assert "was told the peering pcx-0; that of north is pcx-1" in found.cause


def table(*routes_: dict[str, Any], subnets: tuple[str, ...] = ("subnet-1", "subnet-2")) -> dict[str, Any]:
    associations: list[dict[str, Any]] = [{"SubnetId": subnet} for subnet in subnets] or [{"Main": True}]
    return {"RouteTableId": "rtb-1", "VpcId": OWN, "Associations": associations, "Routes": list(routes_)}


LOCAL = {"DestinationCidrBlock": "10.0.1.0/24", "GatewayId": "local"}
RIGHT = {"DestinationCidrBlock": "10.0.0.0/24", "VpcPeeringConnectionId": "pcx-1", "State": "active"}


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ((), "has no route to 10.0.0.0/24"),
        ((RIGHT | {"VpcPeeringConnectionId": "pcx-9"},), "sends 10.0.0.0/24 to pcx-9, not to pcx-1"),
        ((RIGHT | {"State": "blackhole"},), "blackhole"),
        (
            (RIGHT, {"DestinationCidrBlock": "10.0.0.128/25", "NatGatewayId": "nat-1"}),
            "a part of 10.0.0.0/24, to nat-1",
        ),
        (({"DestinationCidrBlock": "0.0.0.0/0", "TransitGatewayId": "tgw-1"},), "to tgw-1, not to pcx-1"),
    ],
)
def test_the_most_specific_route_decides(more: tuple[dict[str, Any], ...], cause: str) -> None:
    side = peered("north", peering(), describe_route_tables={"RouteTables": [table(LOCAL, *more)]})
    found = problems(routes.routes(side))
    assert len(found) == 2  # one for each subnet
    assert all(cause in each.cause and each.owner.name == "north" for each in found)


def test_a_wider_and_a_main_table_s_route_are_right_too() -> None:
    wide = {"DestinationCidrBlock": "10.0.0.0/16", "VpcPeeringConnectionId": "pcx-1"}
    tables = {"RouteTables": [table(LOCAL, wide, subnets=())]}
    assert problems(routes.routes(peered("north", peering(), describe_route_tables=tables))) == []


def acl(*entries: tuple[int, bool, str, str, str, tuple[int, int] | None]) -> dict[str, Any]:
    said = [
        {"RuleNumber": n, "Egress": out, "RuleAction": act, "CidrBlock": cidr, "Protocol": protocol}
        | ({"PortRange": {"From": ports[0], "To": ports[1]}} if ports else {})
        for n, out, act, cidr, protocol, ports in entries
    ]
    associations = [{"SubnetId": "subnet-1"}, {"SubnetId": "subnet-2"}]
    return {"NetworkAclId": "acl-1", "VpcId": OWN, "Associations": associations, "Entries": said}


ALL = [(100, False, "allow", "0.0.0.0/0", "-1", None), (100, True, "allow", "0.0.0.0/0", "-1", None)]
LINK_OUT = (10, True, "allow", "10.0.0.0/24", "6", (9092, 9092))
ANSWERS_IN = (10, False, "allow", "10.0.0.0/16", "6", (1024, 65535))


@pytest.mark.parametrize(
    ("entries", "stopped"),
    [
        (ALL, 0),
        ([LINK_OUT, ANSWERS_IN], 0),
        ([ANSWERS_IN], 2),
        ([LINK_OUT, (10, False, "allow", "10.0.0.0/24", "6", (32768, 40000))], 2),
        ([*ALL, (50, True, "deny", "10.0.0.0/8", "6", (9000, 9100))], 2),
        ([*ALL, (50, True, "deny", "10.0.0.0/8", "17", (9000, 9100))], 0),
        ([*ALL, (500, True, "deny", "0.0.0.0/0", "-1", None)], 0),
        ([*ALL, (50, False, "deny", "10.0.0.7/32", "-1", None)], 2),
    ],
)
def test_the_first_entry_of_a_network_acl_that_applies_decides(entries: list[Any], stopped: int) -> None:
    side = peered("north", peering(), describe_network_acls={"NetworkAcls": [acl(*entries)]})
    assert len(problems(rules.network_acls(side))) == stopped


DNS = {"EnableDnsSupport": {"Value": True}, "EnableDnsHostnames": {"Value": True}}


def network(identity: str, *blocks: str) -> dict[str, Any]:
    return {
        "VpcId": identity,
        "CidrBlock": blocks[0],
        "CidrBlockAssociationSet": [{"CidrBlock": b} for b in blocks],
    }


def test_a_peer_that_has_the_same_addresses_is_named() -> None:
    other = peering(
        identity="pcx-2",
        requester={"OwnerId": "999999999999", "VpcId": "vpc-other", "CidrBlock": "10.0.1.128/25"},
        accepter={"OwnerId": "222222222222", "VpcId": OWN, "CidrBlock": "10.0.1.0/24"},
    )
    side = peered(
        "north",
        peering(),
        other,
        describe_vpcs={"Vpcs": [network(OWN, "10.0.1.0/24")]},
        describe_vpc_attribute=DNS,
    )
    (found,) = problems(addresses.addresses(side))
    assert "10.0.1.128/25 of vpc-other, a peer, overlaps 10.0.1.0/24" in found.cause


@pytest.mark.parametrize(("who", "there"), [("north", HUB), (None, OWN)])
def test_the_other_end_s_addresses_are_its_owner_s_business(who: str | None, there: str) -> None:
    ends: dict[str, Any] = (
        {"accepter": {"CidrBlock": "10.5.0.0/24"}} if who else {"requester": {"CidrBlock": "10.5.0.0/24"}}
    )
    own = network(OWN, "10.0.1.0/24") if who else network(HUB, "10.0.0.0/24")
    side = peered(who, peering(**ends), describe_vpcs={"Vpcs": [own]}, describe_vpc_attribute=DNS)
    (found,) = problems(addresses.addresses(side))
    assert found.owner.is_server is (who is not None)
    assert there in found.cause


def test_a_full_subnet_is_named() -> None:
    subnets = [
        {"SubnetId": "subnet-1", "VpcId": OWN, "AvailableIpAddressCount": 1},
        {"SubnetId": "subnet-2", "VpcId": OWN, "AvailableIpAddressCount": 2},
    ]
    (found,) = problems(addresses.free_addresses(a_side("north", describe_subnets={"Subnets": subnets})))
    assert "subnet-1 has 1 free" in found.cause


def own_network(data: dict[str, Any]) -> None:
    ids = {"vpc_id": OWN, "subnet_ids": ["subnet-00000001", "subnet-00000002"]}
    data["clients"][0]["vpc"] = {**ids, "route_table_ids": ["rtb-00000001", "rtb-00000002"]}
    data["clients"][0]["notebook_type"] = None


def test_a_network_of_the_client_s_own_needs_s3_on_both_tables_and_kms_by_name() -> None:
    there = {"VpcId": OWN, "State": "available", "VpcEndpointId": "vpce-1"}
    s3 = {
        **there,
        "ServiceName": "com.amazonaws.eu-west-1.s3",
        "VpcEndpointType": "Gateway",
        "RouteTableIds": ["rtb-00000001"],
    }
    kms = {
        **there,
        "ServiceName": "com.amazonaws.eu-west-1.kms",
        "VpcEndpointType": "Interface",
        "PrivateDnsEnabled": False,
    }
    name = "cms-client-north-222222222222-eu-west-1"
    seen = {"stacks": {name: stack(name)}, "describe_vpc_endpoints": {"VpcEndpoints": [s3, kms]}}
    side = a_side("north", own_network, **seen, describe_route_tables=tables())
    gateway, key = problems(endpoints.endpoints(side))
    assert "serves rtb-00000002" in gateway.cause
    assert "no endpoint of com.amazonaws.eu-west-1.kms with a private DNS name: no job can sign" in key.cause
    out = [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}]
    assert not problems(
        endpoints.endpoints(a_side("north", own_network, **seen, describe_route_tables=tables(out)))
    )
    stuck = [{**out[0], "State": "blackhole"}]
    side = a_side("north", own_network, **seen, describe_route_tables=tables(stuck, ["rtb-00000001"]))
    lost, _ = problems(endpoints.endpoints(side))
    assert "has no route table rtb-00000002" in lost.cause


@pytest.mark.parametrize("leads_out", [True, False])
def test_a_network_of_one_s_own_that_leads_out_needs_no_dns_hostnames(*, leads_out: bool) -> None:
    out = [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}] if leads_out else []
    side = a_side(
        "north",
        own_network,
        describe_vpcs={"Vpcs": [network(OWN, "10.0.1.0/24")]},
        describe_vpc_attribute=DNS | {"EnableDnsHostnames": {"Value": False}},
        describe_vpc_peering_connections={"VpcPeeringConnections": []},
        describe_route_tables=tables(out),
    )
    assert ["enableDnsHostnames" in each.cause for each in problems(addresses.addresses(side))] == (
        [] if leads_out else [True]
    )


def tables(
    routes: Sequence[Mapping[str, str]] = (),
    names: Sequence[str] = ("rtb-00000001", "rtb-00000002"),
    vpc: str = OWN,
) -> dict[str, Any]:
    return {"RouteTables": [{"VpcId": vpc, "RouteTableId": name, "Routes": [*routes]} for name in names]}


def test_a_network_of_the_server_s_own_needs_every_api_that_its_runs_call() -> None:
    def bring(data: dict[str, Any]) -> None:
        own_network(data)
        data["server"]["vpc"] = data["clients"][0].pop("vpc")
        data["clients"][2]["connectivity"] = "privatelink"
        data["clients"][0] |= {"kickoff": "direct", "privacy": {"updates": "plain"}}
        for client in data["clients"][1:]:
            client["privacy"] = {"updates": "plain"}

    name = "cms-server-111111111111-eu-west-1"
    side = a_side(
        None,
        bring,
        stacks={name: stack(name)},
        describe_vpc_endpoints={"VpcEndpoints": []},
        describe_route_tables=tables(vpc=HUB),
    )
    found = [problem.cause for problem in problems(endpoints.endpoints(side))]
    assert "No S3 gateway endpoint serves rtb-00000001, rtb-00000002" in found[0]
    services = ("sts", "sagemaker.api", "states", "ssm", "elasticloadbalancing")
    wanted = [f"com.amazonaws.eu-west-1.{service}" for service in services]
    wanted.append("com.amazonaws.eu-central-1.s3")  # south's mailbox
    assert len(found[1:]) == len(wanted)
    for cause, service in zip(found[1:], wanted, strict=True):
        assert f"no endpoint of {service} with a private DNS name" in cause


@pytest.mark.parametrize(
    ("live", "differs"),
    [
        ({"PrivateDnsOnlyForInboundResolverEndpoint": True}, True),
        ({"PrivateDnsOnlyForInboundResolverEndpoint": False}, False),
        ({}, False),  # as the rehearsal's AWS answers
    ],
)
def test_an_endpoint_whose_name_only_resolvers_know_is_named(live: dict[str, bool], differs: bool) -> None:
    name = "cms-server-111111111111-eu-west-1"
    said = {
        "ServiceName": "com.amazonaws.eu-central-1.s3",
        "DnsOptions": {"PrivateDnsOnlyForInboundResolverEndpoint": "AllResolvers"},
    }
    made = stack(name)
    made.template = {"Resources": {"S3": {"Type": "AWS::EC2::VPCEndpoint", "Properties": said}}}
    made._there["S3"] = "vpce-1"
    there = {"VpcEndpointId": "vpce-1", "VpcId": HUB, "State": "available", "DnsOptions": live}
    endpoint = {**there, "ServiceName": said["ServiceName"]}
    side = a_side(None, describe_vpc_endpoints={"VpcEndpoints": [endpoint]}, stacks={name: made})
    assert len(problems(endpoints.endpoints(side))) == differs


def test_where_an_end_has_other_addresses_than_the_file_says_its_real_ones_are_looked_for() -> None:
    moved = peering(accepter={"CidrBlock": "10.5.0.0/24"})
    tables = {"RouteTables": [table(LOCAL, RIGHT)]}
    found = problems(routes.routes(peered("north", moved, describe_route_tables=tables)))
    assert [("no route to 10.5.0.0/24" in each.cause) for each in found] == [True, True]
