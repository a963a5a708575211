"""What a federation file may say, and that everything wrong with it is said at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from assembly import ROOT, example
from hypothesis import given
from hypothesis import strategies as st

from cdk_app.config.load import ConfigError, load, parse
from cdk_app.config.roster import roster


def problems(change: Any) -> list[str]:
    data = example()
    change(data)
    with pytest.raises(ConfigError) as raised:
        parse(data)
    return [str(problem) for problem in raised.value.problems]


def put(*path: Any, value: Any) -> Any:
    def change(data: Any) -> None:
        *way, last = path
        for step in way:
            data = data[step]
        data[last] = value

    return change


def test_the_example_reads() -> None:
    federation = load(ROOT / "federation.yaml")
    assert [client.name for client in federation.clients] == ["north", "south", "west"]
    assert {client.region for client in federation.clients} == {"eu-west-1", "eu-central-1"}


def test_a_client_that_says_nothing_of_its_job_has_the_federation_s() -> None:
    federation = parse(example())
    north, south, _ = (federation.job(client) for client in federation.clients)
    assert (north.instance_type, north.max_runtime_minutes, north.spot) == ("ml.m5.xlarge", 60, False)
    assert south.spot is True


NORTH, SOUTH = ("clients", 0), ("clients", 1)
WRONG = [
    (put(*NORTH, "cidr", value="10.0.0.0/8"), "cidr is '10.0.0.0/8', larger than", "between /16 and /26"),
    (put(*NORTH, "cidr", value="10.0.1.0/28"), "smaller than", "between /16 and /26"),
    (put(*NORTH, "cidr", value="10.0.1.7/24"), "not the first address", "Write 10.0.1.0/24"),
    (put(*NORTH, "cidr", value="8.8.8.0/24"), "not a private block", "10/8"),
    (put(*NORTH, "cidr", value="ten"), "no IPv4 CIDR", "10.0.0.0/24"),
    (put(*NORTH, "cidr", value="10.0.0.128/25"), "which overlaps 10.0.0.0/24 of server", "block of its own"),
    (
        put(*NORTH, "cidr", value="10.0.2.0/25"),
        "which overlaps 10.0.2.0/25 of client 'north'",
        "block of its own",
    ),
    (put(*SOUTH, "name", value="north"), "name is 'north', as client", "its own name"),
    (put(*NORTH, "region", value="mars-1"), "region is 'mars-1'", "Use one of af-south-1"),
    (put(*NORTH, "account", value=222222222222), "account is 222222222222", "in quotes"),
    (put(*NORTH, "account", value="2222"), "not an AWS account id", "12 digits"),
    (put(*NORTH, "account", value="111111111111"), "the server's own", "account of its own"),
    (put(*NORTH, "key_arn", value="alias/mine"), "no KMS key ARN", "an alias cannot be pinned"),
    (
        put(
            *NORTH,
            "key_arn",
            value=f"arn:aws:kms:eu-west-1:999999999999:key/{'1' * 8}-1111-1111-1111-{'1' * 12}",
        ),
        "a key of account 999999999999",
        "one owner",
    ),
    (
        put(*NORTH, "bootstrap_qualifier", value="Mine!"),
        "no bootstrap qualifier",
        "cdk bootstrap --qualifier",
    ),
    (
        put(*NORTH, "deployed_by", value="arn:aws:iam::222222222222:role/*"),
        "no role or user ARN",
        "let others",
    ),
    (
        put(*NORTH, "deployed_by", value="arn:aws:iam::222222222222:root"),
        "no role or user ARN",
        "with its path",
    ),
    (
        put(*NORTH, "deployed_by", value="arn:aws:iam::333333333333:role/admin"),
        "of account 333333333333",
        "its own credentials",
    ),
    (
        put(
            "server",
            "asset_key_arn",
            value=f"arn:aws:kms:eu-central-1:111111111111:key/{'1' * 8}-1111-1111-1111-{'1' * 12}",
        ),
        "asset_key_arn is",
        "a key of account 111111111111 in eu-central-1",
    ),
    (put(*NORTH, "availability_zones", value=["us-east-1a", "eu-west-1b"]), "not in eu-west-1", "eu-west-1a"),
    *(
        (put(*NORTH, "availability_zones", value=[zone, "eu-west-1b"]), "not in eu-west-1", "eu-west-1a")
        for zone in ("eu-west-1A", "eu-west-1é", "")
    ),
    (put(*NORTH, "availability_zones", value=["eu-west-1a"] * 2), "'eu-west-1a' twice", "two different"),
    (put(*NORTH, "region", value="us-gov-west-1"), "another AWS partition", "inside one partition"),
    (put(*SOUTH, "kickoff", value="direct"), "not the server's Region", "kickoff: broker"),
    (put(*NORTH, "name", value="true"), "decodes as JSON", "another name"),
    (put(*NORTH, "name", value="a--b"), "no client name", "lower-case"),
    (put(*NORTH, "instance_type", value="ml.p9.xlarge"), "no training instance", "ml.m5.xlarge"),
    (put(*NORTH, "spott", value=True), "spott is True", "correct its spelling"),
    (put("nme", value="x"), "nme is 'x'", "correct its spelling"),
    (put("name", value="has-hyphen"), "no federation name", "lower-case letters and digits"),
    (put("run", "max_runtime_minutes", value=999), "max_runtime_minutes is 999", "federation.schema.json"),
    (
        put(*NORTH, "kickoff_endpoint", value="vpce-1.states.eu-west-1.vpce.amazonaws.com"),
        "the client is in the server's Region",
        "Remove it",
    ),
    (
        put(*SOUTH, "kickoff_endpoint", value="vpce-1.states.us-east-1.vpce.amazonaws.com"),
        "not in eu-central-1",
        "KickoffEndpoint",
    ),
    (put("training", value={"strategy": "fedavgg"}), "no strategy of that name", "federation.schema.json"),
    (put("training", value={"threshold_for": "f1"}), "threshold_for: nothing", "federation.schema.json"),
    (put("training", value={"rounds": 0}), "rounds: Input should be", "federation.schema.json"),
    (
        put("training", value={"strategy": "fedprox", "strategy_options": {"mu": 1}}),
        "fedprox's options: mu: Extra inputs are not permitted",
        "federation.schema.json",
    ),
    (put("training", value={"resume": True}), "resume is True, no default", "Remove it"),
    (
        put("training", value={"strategy": "bulyan", "strategy_options": {"num_malicious_nodes": 1}}),
        "clients a round, 3 are sure",
        "Correct",
    ),
    (
        put("training", value={"strategy": "krum"}),
        "krum needs an owner's `updates: plain`, or noise",
        "Correct",
    ),
    (put("training", value=3), "training is 3", "federation.schema.json"),
    (put("tags", value={"aws:team": "x"}), "'aws:team' is no key of a tag", "128 at most"),
    (put("tags", value={"client": "x"}), "'client' is no key of a tag", "jobs have of their own"),
    (put("tags", value={"Client": "x"}), "'Client' is no key of a tag", "jobs have of their own"),
    (put("tags", value={"Team": "x", "team": "y"}), "'team' beside 'Team'", "Leave one out"),
    (put("tags", value={"team": "a#b"}), "'a#b' cannot be the value of a tag", "256 at most"),
    (put("tags", value={"team": "é" * 257}), "cannot be the value of a tag", "256 at most"),
    (put("tags", value={f"tag {n}": "" for n in range(41)}), "41 tags", "Give 40 at most"),
    (
        put(
            *NORTH,
            "vpc",
            value={
                "vpc_id": "vpc-01234567",
                "subnet_ids": ["subnet-01234567"] * 2,
                "route_table_ids": ["rtb-01234567"] * 2,
            },
        ),
        "one subnet twice",
        "Name two",
    ),
]


@pytest.mark.parametrize(("change", "what", "remedy"), WRONG)
def test_a_problem_names_the_account_the_value_and_the_remedy(change: Any, what: str, remedy: str) -> None:
    [said] = [problem for problem in problems(change) if what in problem]
    assert said.startswith(("client '", "federation:", "training:")) or said.startswith("server (")
    assert remedy in said


def test_two_clients_in_one_account_and_region_are_refused() -> None:
    def change(data: Any) -> None:
        data["clients"][1].update(account="222222222222", region="eu-west-1")
        data["clients"][1]["availability_zones"] = ["eu-west-1a", "eu-west-1b"]

    [said] = problems(change)
    assert "account 222222222222 in eu-west-1 is also that of client 'north'" in said
    assert said.startswith("client 'south' (no. 2, 222222222222): ")


def test_all_problems_are_reported_at_once_also_between_accounts_that_have_other_problems() -> None:
    def change(data: Any) -> None:
        data["server"]["idle_minutes"] = 1
        data["clients"][0].update(region="mars-1", cidr="10.0.0.0/24")
        data["clients"][1].update(account=3, name="north")
        del data["name"]

    said = "\n".join(problems(change))
    for part in (
        "idle_minutes is 1",
        "'mars-1'",
        "overlaps",
        "account is 3",
        "name is 'north', as",
        "name is missing",
    ):
        assert part in said


@pytest.mark.parametrize("place", [("server",), SOUTH])
def test_what_is_made_of_several_values_is_read_beside_any_other_mistake_of_its_account(place: Any) -> None:
    def change(data: Any) -> None:
        data["server"]["schedule"] = {"days": ["mon"], "at": "03:00"}
        data["clients"][1]["run_window"] = {"days": ["mon"], "opens": "04:00", "closes": "05:00"}
        data["clients"][1]["names"] = {"buckets": {"data": "same-one", "code": "same-one"}}
        put(*place, "account", value=3)(data)

    said = "\n".join(problems(change))
    assert "account is 3" in said
    assert "schedule is mon 03:00, which is not 30 minutes or more inside the run_window of client" in said
    assert "names.buckets.code is 'same-one'" in said


def test_more_clients_than_a_vpc_can_peer_with_are_refused() -> None:
    def change(data: Any) -> None:
        north = data["clients"][0]
        data["clients"] = [
            {
                **north,
                "name": f"c{n:03}",
                "account": f"{n:012}",
                "cidr": f"10.{1 + n // 250}.{n % 250}.0/24",
                "privacy": {"cohort": [f"c{m:03}" for m in range(3) if m != n]},
            }
            for n in range(126)
        ]

    [said] = problems(change)
    assert said.startswith("clients: 126 clients peer, and a VPC can have 125 peerings at most. Write connec")
    assert "connectivity: privatelink" in said


def test_defaults_of_runs_reach_the_server_as_its_own_settings() -> None:
    said = {"strategy": "fedprox", "strategy_options": {"proximal_mu": 0.2}, "rounds": 4}
    data = example()
    put("training", value=said)(data)
    assert roster(parse(data))["run"] == said


@pytest.mark.parametrize("data", [None, 3, [], {}, {"server": None}, {"clients": [3]}, {"clients": {}}])
def test_whatever_is_no_federation_is_refused_with_reasons(data: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(data)
    assert raised.value.problems


def test_a_file_that_is_not_yaml_says_so(tmp_path: Any) -> None:
    path = tmp_path / "federation.yaml"
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="Give a readable YAML file"):
        load(path)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["name", "tags", "run", "training", "server", "clients"]), anything)
def test_no_value_makes_the_reader_fail_without_a_reason(key: str, value: Any) -> None:
    data = copy.deepcopy(example()) | {key: value}
    try:
        parse(data)
    except ConfigError as error:
        assert all(problem.remedy for problem in error.problems)  # noqa: PT017


def test_what_was_read_cannot_be_changed() -> None:
    federation = parse(example())
    with pytest.raises(ValueError, match="frozen"):
        federation.name = "other"
