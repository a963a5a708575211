"""How clients may be connected: addresses, quotas, and values that belong to one way only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from assembly import example
from typer.testing import CliRunner

from cdk_app.config.load import ConfigError, parse
from cdk_app.config.quotas import outgrown
from fedstack.command import cli

SERVICE = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0"
KICKOFF = "vpce-0123.states.eu-central-1.vpce.amazonaws.com"
Change = Callable[[dict[str, Any]], None]


def problems(data: dict[str, Any]) -> list[str]:
    try:
        parse(data)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def linked(**more: Any) -> dict[str, Any]:
    """The example, all of it by PrivateLink, every client with one and the same block."""
    data = example()
    data["connectivity"] = "privatelink"
    for client in data["clients"]:
        client["cidr"] = "10.0.1.0/24"
    data["clients"][1]["kickoff_endpoint"] = KICKOFF
    data["server"].update(more)
    return data


def test_clients_by_privatelink_may_share_addresses_also_the_server_s() -> None:
    data = linked(endpoint_service=SERVICE)
    assert problems(data) == []
    data["clients"][0]["cidr"] = data["server"]["cidr"]
    assert problems(data) == []


@pytest.mark.parametrize("way", ["peering", "existing"])
def test_a_client_whose_packets_are_routed_shares_addresses_with_nobody_that_is_routed(way: str) -> None:
    data = linked()
    data["clients"][0]["connectivity"] = way
    assert problems(data) == [], "the others by PrivateLink may have its block"
    data["clients"][2].update(connectivity=way)
    [said] = problems(data)
    assert "which overlaps 10.0.1.0/24 of client 'north'" in said
    assert "privatelink" in said
    data["clients"][2]["cidr"] = "10.0.0.0/25"
    [said] = problems(data)
    assert "overlaps 10.0.0.0/24 of server" in said


def test_only_peered_clients_count_for_the_quota_of_peerings() -> None:
    data = example()
    north = data["clients"][0]
    data["clients"] = [
        {**north, "name": f"c{n:03}", "account": f"{n:012}", "cidr": f"10.{1 + n // 250}.{n % 250}.0/24"}
        | {"privacy": {"updates": "plain"}}
        for n in range(300)
    ]
    [said] = problems(data)
    assert "300 clients peer" in said
    for client in data["clients"][125:]:
        client["connectivity"] = "privatelink"
    assert problems(data) == []
    data["clients"][125]["connectivity"] = "peering"
    assert len(problems(data)) == 1
    assert problems({**data, "connectivity": "privatelink"}) == [], "of those that say nothing themselves"


WRONG: list[tuple[Change, str, str]] = [
    (lambda d: d.update(connectivity="vpn"), "connectivity is 'vpn'", "privatelink"),
    (lambda d: d["clients"][0].update(connectivity="tgw"), "connectivity is 'tgw'", "existing"),
    (lambda d: d["server"].update(endpoint_service="vpce-svc-1"), "no endpoint service", "EndpointService"),
    (
        lambda d: d["server"].update(endpoint_service=SERVICE.replace("eu-west-1", "us-east-1")),
        "not in eu-west-1",
        "the server's own stack",
    ),
    (lambda d: d["clients"][0].update(peering_id="pcx-0123456789abcdef0"), "its connectivity is", "Remove"),
    (lambda d: d["clients"][1].pop("kickoff_endpoint"), "does not", "Give kickoff_endpoint"),
]


@pytest.mark.parametrize(("change", "part", "remedy"), WRONG, ids=[part for _, part, _ in WRONG])
def test_each_mistake_is_named_with_its_remedy(change: Change, part: str, remedy: str) -> None:
    data = linked()
    change(data)
    [said] = problems(data)
    assert part in said
    assert remedy in said


def test_all_mistakes_are_told_at_once() -> None:
    data = linked()
    for change, _, _ in WRONG[1:]:
        change(data)
    data["server"]["endpoint_service"] = "x"
    said = "\n".join(problems(data))
    assert said.count("\n") == 2
    for part in ("connectivity is 'tgw'", "endpoint_service is 'x'", "Give kickoff_endpoint"):
        assert part in said


def test_a_way_that_could_not_be_read_hides_no_other_mistake() -> None:
    data = linked()
    data["clients"][0]["connectivity"] = "?"
    data["clients"][2]["account"] = 3
    assert len(problems(data)) == 2


def test_validate_says_what_the_ways_mean(tmp_path: Path) -> None:
    data = linked()
    data["clients"][2].update(connectivity="existing", cidr="10.0.3.0/24")
    file = tmp_path / "federation.yaml"
    file.write_text(yaml.safe_dump(data))
    said = CliRunner().invoke(cli, ["validate", str(file)]).output
    assert said.count("by PrivateLink") == 2
    assert "fedstack accept NAME" in said
    assert "Transit Gateway" in said
    assert "PrivateLink" not in CliRunner().invoke(cli, ["validate", "federation.yaml"]).output


def crowd(clients: int, connectivity: str) -> dict[str, Any]:
    """The example with so many clients, of which none has a cohort."""
    data = example() | {"connectivity": connectivity, "training": {}}
    west = data["clients"][2]
    data["clients"] = [
        west
        | {"name": f"client-{n:04}", "account": f"{n + 1:012}", "privacy": {"updates": "plain"}}
        | {"cidr": f"10.{1 + n // 250}.{n % 250}.0/24"}
        for n in range(clients)
    ]
    return data


@pytest.mark.parametrize(
    ("clients", "way", "told"),
    [
        (50, "peering", []),
        (
            51,
            "peering",
            ["51 clients peer, and a VPC has 50 peerings until AWS raises that, to 125 at most."],
        ),
        (
            125,
            "peering",
            [
                "125 clients peer, and a VPC has 50 peerings",
                "125 clients are routed to the server, and its security group has 60 inbound rules",
            ],
        ),
        (60, "existing", []),
        (300, "existing", ["300 clients are routed to the server"]),
        (300, "privatelink", []),
    ],
)
def test_a_default_quota_that_the_clients_outgrow_is_told_with_privatelink(
    clients: int, way: str, told: list[str]
) -> None:
    found = list(outgrown(parse(crowd(clients, way))))
    assert [sentence.startswith(begin) for sentence, begin in zip(found, told, strict=True)] == [True] * len(
        told
    )
    assert all("connectivity: privatelink" in sentence for sentence in found)


def test_the_load_balancer_of_privatelink_takes_one_rule_of_the_server_s_group() -> None:
    data = crowd(61, "existing")
    data["clients"][60]["connectivity"] = "privatelink"
    [said] = outgrown(parse(data))
    assert "60 inbound rules, one for each and one for the load balancer, until" in said
    assert "Ask for 61 " in said
    data = crowd(1001, "existing")
    data["clients"][1000]["connectivity"] = "privatelink"
    [problem] = problems(data)
    assert problem.startswith("clients: 1000 clients are routed to the server")


@pytest.mark.parametrize(
    ("clients", "way", "limit"), [(126, "peering", "125 peerings"), (1001, "existing", "1000 inbound rules")]
)
def test_where_no_raise_helps_any_more_the_file_is_wrong_and_privatelink_is_named(
    clients: int, way: str, limit: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(crowd(clients, way))
    [problem] = raised.value.problems
    assert problem.what.startswith(f"{clients} clients ")
    assert limit in problem.what
    assert "connectivity: privatelink" in problem.remedy
    assert parse(crowd(clients, "privatelink")).clients[-1].name == f"client-{clients - 1:04}"


def test_validate_says_which_quota_is_outgrown(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(json.dumps(crowd(51, "peering")))
    said = CliRunner().invoke(cli, ["validate", str(file)])
    assert said.exit_code == 0
    assert "Quota: 51 clients peer, and a VPC has 50 peerings until AWS raises that" in said.output
    told = json.loads(CliRunner().invoke(cli, ["validate", str(file), "--json"]).output)
    assert [sentence[:16] for sentence in told["quotas"]] == ["51 clients peer,"]
