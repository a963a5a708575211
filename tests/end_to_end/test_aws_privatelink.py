"""Two clients by PrivateLink that share their addresses; and who does not get in.

In China, where the server and the first client bring all that an owner can: network, key, boundary, names.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from cdk_app.naming import ClientNames
from cdk_app.preflight.__main__ import cli as preflight
from end_to_end.own_place import OwnPlace
from rehearsal import federation
from rehearsal.aws.client import Rehearsed
from rehearsal.data import Silos
from rehearsal.deployment import synthesise
from rehearsal.journey import Journey
from rehearsal.processes import Processes
from runtime.contract import LINK_PORT, FedstackError

pytestmark = pytest.mark.timeout(900)

HOME = "cn-north-1"
LINKED = {"connectivity": "privatelink", "cidr": "10.0.1.0/24"}
STRANGER = "399999999999"
WAITING = ("privatelink",)
"""The checks that find the second client's connection, which is not accepted at first."""
SERVER_BUCKETS = {"test_data": "fl-test", "results": "fl-results", "access_logs": "fl-logs"}
CLIENT_BUCKETS = {
    **{"data": "fl-data", "artifacts": "fl-models", "code": "fl-code", "mailbox": "fl-mailbox"},
    "access_logs": "fl-logs",
}


@pytest.fixture(scope="module")
def own(accounts: Rehearsed) -> tuple[OwnPlace, OwnPlace]:
    """Return the server's place and the first client's, as their owners have them before."""
    server = OwnPlace(accounts, "300000000000", HOME, "org", "10.0.0.0/24")
    server.add_endpoints("sts", "states", "sagemaker.api", "elasticloadbalancing")
    client = OwnPlace(accounts, "300000000001", HOME, "clinic", "10.0.1.0/24")
    client.add_endpoints("sagemaker.api")
    return server, client


@pytest.fixture(scope="module")
def linked(
    accounts_folder: Path, accounts: Rehearsed, account_silos: Silos, own: tuple[OwnPlace, OwnPlace]
) -> Iterator[Journey]:
    """Two clients by PrivateLink, of which the second is accepted by the test that runs them."""
    file = accounts_folder / "linked.yaml"
    places: dict[str, Any] = {
        "server": own[0].options(SERVER_BUCKETS) | {"cidr": "10.0.0.0/24"},
        "silo_0": own[1].options(CLIENT_BUCKETS) | LINKED,
        "silo_1": {"account": "300000000002", "region": HOME, "availability_zones": own[1].zones} | LINKED,
    }
    chosen = federation.write(file, 2, privacy={"updates": "plain"}, **places)
    synthesise(file, accounts_folder / "linked")
    journey = Journey(accounts, chosen, accounts_folder / "linked")
    deployment = journey.deployment
    for names in journey.places():
        deployment.bootstrap_account(names.account, names.region)
    deployment.deploy_server()
    for client in chosen.clients:
        deployment.deploy_client(client)
    deployment.accept(chosen.clients[0])
    journey.bring_data(account_silos)
    yield journey
    journey.destroy()
    for place in own:
        place.take_back()
    assert journey.residue()[0] == {}


def endpoint(journey: Journey, client: ClientNames) -> dict[str, Any]:
    found = journey.deployment.owner(client, "ec2").describe_vpc_endpoints()["VpcEndpoints"]
    (only,) = [each for each in found if ".vpce-svc-" in each["ServiceName"]]
    assert isinstance(only, dict)
    return only


def service(journey: Journey) -> str:
    return journey.deployment.output(journey.deployment.server, "EndpointService")


def reaches(journey: Journey, client: ClientNames) -> bool:
    """Whether a connection to a client's endpoint gets to somebody, or is cut at once."""
    with socket.create_connection(
        (endpoint(journey, client)["DnsEntries"][0]["DnsName"], LINK_PORT), timeout=60
    ) as near:
        near.settimeout(2.0)
        try:
            return near.recv(1) != b""
        except TimeoutError:
            return True
        except ConnectionError:
            return False


def test_no_template_has_a_peering_or_a_route(linked: Journey) -> None:
    deployment = linked.deployment
    for names in linked.places():
        template = json.loads((deployment.assembly / f"{names.stack}.template.json").read_text())
        kinds = {resource["Type"] for resource in template["Resources"].values()}
        assert not kinds & {"AWS::EC2::VPCPeeringConnection", "AWS::EC2::Route"}
        ec2 = deployment.owner(names, "ec2")
        assert not ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]
    assert not list(deployment.assembly.glob("*server-peer*")), "nothing on the server's side is per client"
    first, second = (
        deployment.owner(names, "ec2").describe_vpcs(VpcIds=[endpoint(linked, names)["VpcId"]])["Vpcs"][0]
        for names in deployment.clients.values()
    )
    assert first["CidrBlock"] == second["CidrBlock"]


def test_an_account_that_is_not_listed_finds_no_service(linked: Journey) -> None:
    ec2 = linked.aws.client(linked.aws.administrator(STRANGER), HOME, "ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.1.0/24")["Vpc"]["VpcId"]
    with pytest.raises(ClientError, match=r"InvalidServiceName.*does not exist"):
        ec2.create_vpc_endpoint(
            VpcId=vpc, ServiceName=service(linked), VpcEndpointType="Interface", PrivateDnsEnabled=False
        )
    ec2.delete_vpc(VpcId=vpc)


def test_nobody_but_the_server_s_account_accepts_and_registers(linked: Journey) -> None:
    deployment = linked.deployment
    client = deployment.clients["silo-1"]
    (group,) = deployment.resources(
        deployment.server, "LinkService", "AWS::ElasticLoadBalancingV2::TargetGroup"
    )
    target = {"TargetGroupArn": group, "Targets": [{"Id": "10.0.1.9", "Port": LINK_PORT}]}
    identity = service(linked).rpartition(".")[2]
    before = endpoint(linked, client)
    waiting = before["VpcEndpointId"]
    with pytest.raises(ClientError, match="NotFound"):
        deployment.owner(client, "ec2").accept_vpc_endpoint_connections(
            ServiceId=identity, VpcEndpointIds=[waiting]
        )
    with pytest.raises(ClientError, match=r"AccessDenied|TargetGroupNotFound"):
        deployment.owner(client, "elbv2").register_targets(**target)
    notebook = linked.aws.client(deployment.notebook(deployment.server), deployment.server.region, "ec2")
    with pytest.raises(ClientError, match="not authorized to perform: ec2:AcceptVpcEndpointConnections"):
        notebook.accept_vpc_endpoint_connections(ServiceId=identity, VpcEndpointIds=[waiting])
    assert endpoint(linked, client)["State"] == before["State"]


def test_the_server_registers_in_its_own_target_group_alone(linked: Journey) -> None:
    deployment = linked.deployment
    server = deployment.server
    balancing = linked.aws.client(deployment.notebook(server), server.region, "elbv2")
    owner = deployment.owner(server, "elbv2")
    vpc = deployment.owner(server, "ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    other = owner.create_target_group(Name="other", Protocol="TCP", Port=1, VpcId=vpc, TargetType="ip")
    arn = other["TargetGroups"][0]["TargetGroupArn"]
    for call in (balancing.register_targets, balancing.deregister_targets):
        with pytest.raises(ClientError, match="not authorized to perform: elasticloadbalancing"):
            call(TargetGroupArn=arn, Targets=[{"Id": "10.0.0.9", "Port": LINK_PORT}])
    owner.delete_target_group(TargetGroupArn=arn)


def test_a_client_has_no_way_to_another_client(linked: Journey) -> None:
    """Its packets have nowhere to go but its own endpoint, and there is nobody but the server behind it."""
    deployment = linked.deployment
    for names in deployment.clients.values():
        ec2, own = deployment.owner(names, "ec2"), endpoint(linked, names)
        routes = [
            route.get("GatewayId") or route.get("DestinationPrefixListId")
            for table in ec2.describe_route_tables()["RouteTables"]
            if table["VpcId"] == own["VpcId"]
            for route in table["Routes"]
        ]
        assert all(way == "local" or str(way).startswith(("vpce-", "pl-")) for way in routes)
        groups = ec2.describe_security_groups()["SecurityGroups"]
        doors = {
            (rule["FromPort"], entry["CidrIp"])
            for group in groups
            if group["VpcId"] == own["VpcId"] and group["GroupName"] != "default"
            for rule in group["IpPermissions"]
            for entry in rule["IpRanges"]
        }
        apis = set() if linked.deployment.place(names.account, names.region).vpc else {(443, "10.0.1.0/24")}
        assert doors == {(LINK_PORT, "10.0.1.0/24"), *apis}, "its own network alone"
        with pytest.raises(ClientError, match="InvalidServiceName"):
            ec2.create_vpc_endpoint(
                VpcId=own["VpcId"],
                ServiceName=f"com.amazonaws.vpce.{names.region}.vpce-svc-0123456789abcdef0",
                VpcEndpointType="Interface",
                PrivateDnsEnabled=False,
            )


@pytest.mark.parametrize("number", [0, 1])
def test_what_an_owner_brought_is_what_the_stack_uses(
    linked: Journey, own: tuple[OwnPlace, OwnPlace], number: int
) -> None:
    deployment, place = linked.deployment, own[number]
    names = linked.places()[number]
    assert place.is_bounded(deployment.resources(names, "", "AWS::IAM::Role"))
    assert not deployment.resources(names, "", "AWS::EC2::VPC")
    word, wanted = (("org", SERVER_BUCKETS), ("clinic", CLIENT_BUCKETS))[number]
    buckets = deployment.resources(names, "Storage", "AWS::S3::Bucket")
    assert set(buckets) == {f"{word}-{name}" for name in wanted.values()}


def test_both_preflights_find_nothing_wrong_with_it(linked: Journey, accounts_folder: Path) -> None:
    assembly = str(linked.deployment.assembly)
    files = ("--federation", str(accounts_folder / "linked.yaml"), "--assembly", assembly)
    for side, names in zip((("server",), ("client", "silo-0")), linked.places(), strict=False):
        told = linked.aws.environment(linked.aws.administrator(names.account), names.region)
        result = CliRunner().invoke(
            preflight, ["--json", *files, "--side", *side], env={"AWS_SESSION_TOKEN": None, **told}
        )
        found = json.loads(result.stdout)
        failed = [(f["check"], f["cause"]) for f in found["findings"] if f["status"] == "FAIL"]
        assert [(check, cause) for check, cause in failed if check not in WAITING] == []


def test_a_run_completes_when_both_are_accepted_and_nothing_stays_registered(
    linked: Journey, account_processes: Processes, tmp_path: Path
) -> None:
    deployment = linked.deployment
    first, second = deployment.clients.values()
    server = deployment.server
    (group,) = deployment.resources(server, "LinkService", "AWS::ElasticLoadBalancingV2::TargetGroup")
    balancing = deployment.owner(server, "elbv2")

    assert not reaches(linked, first), "accepted, but no server is registered"
    with socket.create_server(("127.0.0.1", 0)) as anybody:
        target = {"Id": "127.0.0.1", "Port": anybody.getsockname()[1]}
        balancing.register_targets(TargetGroupArn=group, Targets=[target])
        assert reaches(linked, first)
        assert not reaches(linked, second), "registered, but not accepted"
        balancing.deregister_targets(TargetGroupArn=group, Targets=[target])
    with pytest.raises(FedstackError, match="is no client"):
        deployment.accept(linked.federation.clients[0].model_copy(update={"name": "somebody"}))
    deployment.accept(linked.federation.clients[1])
    deployment.accept(linked.federation.clients[1])  # again changes nothing

    out = tmp_path / "out"
    log = tmp_path / "server.log"
    options = ["--strategy=fedavg", "--rounds=2", "--updates=plain"]
    running = linked.start_server(account_processes, out, options, log)
    assert running.wait(600) == 0, log.read_text()
    report = json.loads((out / "report.json").read_text())
    assert report["verdict"] == "COMPLETE"
    assert [client["status"] for client in report["clients"]] == ["contributed to every round"] * 2
    events = [json.loads(line)["event"] for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert "target_registered" in events
    assert "target_left" not in events
    assert not balancing.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    for names in (first, second):
        job = deployment.owner(names, "sagemaker").describe_training_job(
            TrainingJobName=f"{names.job_prefix}{report['run_id']}"
        )
        host = endpoint(linked, names)["DnsEntries"][0]["DnsName"]
        assert job["HyperParameters"]["link-host"] == host, "its own endpoint, whatever the server says"
