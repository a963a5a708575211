"""What synth makes for clients by PrivateLink, on both sides, and for a way that exists already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from assembly import (
    NORTH,
    PEER_WEST,
    SERVER,
    SOUTH,
    WEST,
    Assembly,
    Template,
    masked,
    of_type,
    one,
    plain,
    told_of,
)
from iam_statements import rendered, statements

from cdk_app.handoff.cost import idle_month
from runtime.contract import LINK_PORT
from runtime.link.wire import CHANNEL_OPTIONS

HERE = Path(__file__).parent
IDLE_SECONDS = 350
"""After so long without a packet a network load balancer forgets a connection."""
PORT = {"FromPort": LINK_PORT, "ToPort": LINK_PORT, "IpProtocol": "tcp"}
BY_LINK = [NORTH, SOUTH]


def rules(group: dict[str, Any], way: str) -> list[tuple[str, int, int, str]]:
    found = group.get(f"SecurityGroup{way}", [])
    return [(rule["CidrIp"], rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) for rule in found]


def group(template: Template, begins: str) -> dict[str, Any]:
    found = [p for key, p in of_type(template, "EC2::SecurityGroup").items() if key.startswith(begins)]
    (only,) = found
    return only


def test_nothing_of_a_peering_is_left_where_no_client_peers(linked: Assembly) -> None:
    assert set(linked.templates) == {SERVER, NORTH, SOUTH, WEST, PEER_WEST}, "no stack per PrivateLink client"
    for template in linked.templates.values():
        assert not of_type(template, "EC2::VPCPeeringConnection")
        assert not of_type(template, "EC2::Route")
    assert not [key for key in of_type(linked.templates[SERVER], "IAM::Role") if key.startswith("Accepter")]


def test_the_server_has_one_internal_balancer_that_passes_one_port_on(linked: Assembly) -> None:
    template = linked.templates[SERVER]
    balancer = one(template, "ElasticLoadBalancingV2::LoadBalancer")
    assert (balancer["Type"], balancer["Scheme"]) == ("network", "internal")
    assert balancer["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] == "on"
    assert {"Key": "load_balancing.cross_zone.enabled", "Value": "true"} in balancer["LoadBalancerAttributes"]
    listener = one(template, "ElasticLoadBalancingV2::Listener")
    assert (listener["Port"], listener["Protocol"]) == (LINK_PORT, "TCP")
    assert "Certificates" not in listener, "TLS is between the job and the server"
    targets = one(template, "ElasticLoadBalancingV2::TargetGroup")
    assert (targets["Port"], targets["Protocol"], targets["TargetType"]) == (LINK_PORT, "TCP", "ip")
    assert "Targets" not in targets, "a run's server registers itself"
    one_way = group(template, "LinkServiceBalancerGroup")
    private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    assert rules(one_way, "Ingress") == [(block, LINK_PORT, LINK_PORT, "tcp") for block in private]
    assert rules(one_way, "Egress") == [("10.0.0.0/24", LINK_PORT, LINK_PORT, "tcp")]
    notebook = group(template, "FederationNotebookGroup")
    assert rules(notebook, "Ingress") == [("10.0.0.0/24", LINK_PORT, LINK_PORT, "tcp")]
    assert told_of(template)["target_group"] == "<LinkServiceServer6B571B0B>"


def test_the_service_lets_nobody_in_but_the_clients_accounts_and_nobody_unaccepted(linked: Assembly) -> None:
    template = linked.templates[SERVER]
    service = one(template, "EC2::VPCEndpointService")
    assert service["AcceptanceRequired"] is True
    assert service["SupportedRegions"] == ["eu-central-1"]
    allowed = one(template, "EC2::VPCEndpointServicePermissions")["AllowedPrincipals"]
    assert [plain(each) for each in allowed] == [
        f"arn:<AWS::Partition>:iam::{account}:root" for account in ("222222222222", "333333333333")
    ], "west comes on a way of its own"
    output = template["Outputs"]["EndpointService"]["Value"]
    assert plain(output) == "com.amazonaws.vpce.<AWS::Region>.<LinkService312BDD4B>"


@pytest.mark.parametrize("stack", BY_LINK)
def test_a_client_has_one_endpoint_one_port_one_way_and_one_value_travels(
    linked: Assembly, stack: str
) -> None:
    template = linked.templates[stack]
    (endpoint,) = [
        each for each in of_type(template, "EC2::VPCEndpoint").values()
        if each["ServiceName"] == {"Ref": "EndpointService"}
    ]  # fmt: skip
    assert endpoint["VpcEndpointType"] == "Interface"
    assert endpoint["PrivateDnsEnabled"] is False
    assert endpoint.get("ServiceRegion") == (None if stack == NORTH else "eu-west-1")
    assert "PolicyDocument" not in endpoint, "a service that is not AWS's takes none"
    asked = {name for name in template["Parameters"] if not name.startswith(("SigningKey", "Bootstrap"))}
    assert asked == {"EndpointService"}
    door = group(template, "LinkEndpointLinkGroup")
    assert rules(door, "Ingress") == [("10.0.1.0/24", LINK_PORT, LINK_PORT, "tcp")]
    assert [rule["CidrIp"] for rule in door["SecurityGroupEgress"]] == ["255.255.255.255/32"], "nobody"
    job = group(template, "JobJobGroup")
    assert ("10.0.1.0/24", LINK_PORT, LINK_PORT, "tcp") in rules(job, "Egress")
    assert not rules(job, "Ingress")
    assert "KickoffEndpoint" not in template["Outputs"]
    definition = json.dumps(of_type(template, "StepFunctions::StateMachine"))
    assert "link-host" in definition


def test_the_server_s_way_to_a_client_that_has_one_is_its_port_alone(linked: Assembly) -> None:
    template = linked.templates[PEER_WEST]
    assert {r["Type"] for r in template["Resources"].values()} == {"AWS::EC2::SecurityGroupIngress"}
    opened = one(template, "EC2::SecurityGroupIngress")
    assert {**PORT, "CidrIp": "10.0.3.0/24"}.items() <= opened.items()
    assert not [name for name in template["Parameters"] if not name.startswith("Bootstrap")]
    assert "ServerVpcId" not in linked.templates[WEST]["Parameters"]
    assert ("10.0.0.0/24", LINK_PORT, LINK_PORT, "tcp") in rules(
        group(linked.templates[WEST], "JobJobGroup"), "Egress"
    )


def expected(folder: str, file: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((HERE / folder / f"{file}.json").read_text())
    return read


def test_the_server_s_roles_have_one_statement_more_and_nothing_for_peerings(linked: Assembly) -> None:
    known = {k: v for k, v in expected("iam_expected", "server").items() if not k.startswith("Accepter")}
    for role, more in expected("iam_expected", "privatelink").items():
        known[role]["grants"] = [*known[role]["grants"], *more]
    found = statements(linked.templates[SERVER])
    assert found.keys() == known.keys()
    for role, said in known.items():
        assert found[role]["trust"] == said["trust"]
        assert sorted(map(json.dumps, found[role]["grants"])) == sorted(map(json.dumps, said["grants"])), role


@pytest.mark.parametrize(("stack", "file"), [(NORTH, "north"), (SOUTH, "south")])
def test_a_client_s_roles_are_those_of_one_that_peers(linked: Assembly, stack: str, file: str) -> None:
    assert statements(linked.templates[stack]) == expected("iam_expected", file)


def test_the_server_s_endpoints_let_one_thing_more_through(
    templates: dict[str, Template], linked: Assembly
) -> None:
    before, after = (
        {
            key: [masked(rendered(statement)) for statement in properties["PolicyDocument"]["Statement"]]
            for key, properties in of_type(each[SERVER], "EC2::VPCEndpoint").items()
        }
        for each in (templates, linked.templates)
    )
    more = {key: after[key] for key in after.keys() - before.keys()}
    assert {key: after[key] for key in before} == before
    assert len(more) == 1
    ((name, found),) = more.items()
    ((begins, said),) = expected("resource_policies_expected", "privatelink").items()
    assert name.startswith(begins)
    assert found == said


@pytest.mark.parametrize("stack", BY_LINK)
def test_a_client_s_endpoints_are_those_of_one_that_peers_but_the_link(
    templates: dict[str, Template], linked: Assembly, stack: str
) -> None:
    before, after = (
        {
            key: properties.get("PolicyDocument")
            for key, properties in of_type(each[stack], "EC2::VPCEndpoint").items()
        }
        for each in (templates, linked.templates)
    )
    assert [key for key in after if key not in before] == ["LinkEndpointToServer455A73BC"]
    assert all(key.startswith("KickoffEndpoint") for key in before if key not in after)
    assert all(after[key] == before[key] for key in after if key in before)


def test_the_link_stays_alive_under_the_balancer_s_idle_time() -> None:
    options = dict(CHANNEL_OPTIONS)
    assert 3 * options["grpc.keepalive_time_ms"] < IDLE_SECONDS * 1000, "some may be lost"
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.http2.max_pings_without_data"] == 0


def test_what_stands_idle_costs_a_balancer_and_three_endpoints_more(
    templates: dict[str, Template], linked: Assembly
) -> None:
    def named(template: Template, word: str) -> list[str]:
        return [item.what for item in idle_month(template, "us-east-1") if word in item.what]

    assert named(templates[SERVER], "balancer") == []
    assert named(linked.templates[SERVER], "balancer") == ["1 load balancers, at idle"]
    before, after = (
        int(named(each[NORTH], "interface")[0].split()[0]) for each in (templates, linked.templates)
    )
    assert after == before + 2, "one endpoint, in both zones"
