"""Names that two accounts must agree on, and the roster that carries them to the server."""

from __future__ import annotations

import fnmatch
import json
import re

import pytest
from assembly import NORTH, ROOT, SERVER, SOUTH, WEST, Assembly, Template, example, of_type, one, plain
from hypothesis import given
from hypothesis import strategies as st

from cdk_app.config.load import parse
from cdk_app.config.roster import roster, roster_json
from cdk_app.images import image_uri, regions
from cdk_app.naming import ClientNames, ServerNames
from cdk_app.regions import partition
from runtime.contract import (
    ATTEMPTS,
    INVITATION_PATTERNS,
    FedstackError,
    JobOption,
    check_invitation,
    dns_suffix,
)
from runtime.server.settings import new_run_id

LONGEST_RUN_ID = "run-" + 14 * "x"
federations = st.from_regex(r"[a-z][a-z0-9]{1,15}", fullmatch=True)
clients = st.from_regex(r"[a-z](-?[a-z0-9]){1,23}", fullmatch=True).filter(lambda name: len(name) <= 24)


@given(federations, clients)
def test_the_longest_names_fit_into_what_aws_allows(federation: str, client: str) -> None:
    names = ClientNames(federation, client, "222222222222", "ap-northeast-1")
    accepter = ServerNames(federation, "111111111111", "ap-northeast-1").accepter_role(client)
    assert max(len(names.kickoff_role), len(accepter)) <= 64
    assert len(names.broker + "-sweep") <= 80
    assert 3 <= len(names.mailbox) <= 63
    assert len(names.job_prefix + LONGEST_RUN_ID + f"-{ATTEMPTS}") <= 63
    assert len(names.stack) <= 128
    assert len(names.signing_key) <= 256


@given(st.tuples(federations, clients), st.tuples(federations, clients))
def test_two_federations_never_share_a_name(one_pair: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = (ClientNames(*pair, "222222222222", "eu-west-1") for pair in (one_pair, other))
    assert (first.kickoff_role == second.kickoff_role) is (one_pair == other)
    assert (first.mailbox == second.mailbox) is (one_pair == other)
    # A name that begins another one: `cms` and `cms-run`, `a` and `a-run-b`.
    assert second.job_prefix.startswith(first.job_prefix) is (one_pair == other)


def test_no_client_s_right_reaches_a_job_of_another_in_the_same_account() -> None:
    names = [ClientNames("cms", name, "222222222222", "eu-west-1") for name in ("a", "a-run", "a-run-b")]
    for mine in names:
        for other in names:
            job = other.job_arn.removesuffix("*") + "1"
            assert fnmatch.fnmatchcase(job, mine.job_arn) is (mine is other)


def test_the_longest_run_id_is_one_that_the_contract_takes() -> None:
    assert check_invitation(JobOption.RUN_ID, LONGEST_RUN_ID) == LONGEST_RUN_ID
    with pytest.raises(FedstackError):
        check_invitation(JobOption.RUN_ID, LONGEST_RUN_ID + "x")
    assert re.fullmatch(INVITATION_PATTERNS[JobOption.RUN_ID], new_run_id())


def test_the_roster_names_what_the_clients_stacks_create(templates: dict[str, Template]) -> None:
    for entry, stack in zip(roster(parse(example()))["clients"], (NORTH, SOUTH, WEST), strict=True):
        template = templates[stack]
        role = one(template, "IAM::Role", RoleName=entry["kickoff_role_arn"].rsplit("/", 1)[1])
        [trust] = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Condition"]["StringEquals"] == {"sts:ExternalId": entry["external_id"]}
        one(template, "S3::Bucket", BucketName=entry["mailbox"].split("/")[2])
        one(
            template,
            "StepFunctions::StateMachine",
            StateMachineName=entry["state_machine_arn"].rsplit(":", 1)[1],
        )


def test_the_client_trusts_the_role_that_the_server_s_notebook_has(templates: dict[str, Template]) -> None:
    role = one(templates[SERVER], "IAM::Role", RoleName="FL-server-notebook-cms")
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {
        "Service": "sagemaker.amazonaws.com"
    }
    for stack in (NORTH, SOUTH):
        [kickoff] = [
            r for key, r in of_type(templates[stack], "IAM::Role").items() if key.startswith("Kickoff")
        ]
        [trust] = kickoff["AssumeRolePolicyDocument"]["Statement"]
        notebook = "arn:aws:iam::111111111111:role/FL-server-notebook-cms"
        assert trust["Condition"]["ArnEquals"] == {"aws:PrincipalArn": notebook}
        assert plain(trust["Principal"]) == plain({"AWS": "arn:aws:iam::111111111111:root"})


def test_a_direct_client_is_told_where_its_request_lies_and_warned_about(other: Assembly) -> None:
    data = example()
    data["clients"][0] |= {"kickoff": "direct", "privacy": {"updates": "plain"}}
    data["clients"] = data["clients"][:1]
    data["training"] = {}
    entry = roster(parse(data))["clients"][0]
    assert "state_machine_arn" not in entry
    request = one(other.templates[NORTH], "SSM::Parameter", Name=entry["job_parameter"])
    assert len(plain(request["Value"])) < 4096
    assert '"sagemaker_program":"client.py"' in plain(request["Value"])
    assert of_type(other.templates[NORTH], "StepFunctions::StateMachine") == {}
    [warning] = other.messages("aws:cdk:warning")[NORTH]
    assert "the server can run any code on this account's data" in warning


def test_a_client_in_another_region_is_reached_by_the_endpoint_that_it_told() -> None:
    data = example()
    data["clients"][1]["kickoff_endpoint"] = "vpce-1.states.eu-central-1.vpce.amazonaws.com"
    assert (
        roster(parse(data))["clients"][1]["endpoint_url"]
        == "https://vpce-1.states.eu-central-1.vpce.amazonaws.com"
    )


def test_the_roster_is_json_and_says_nothing_secret() -> None:
    assert set(json.loads(roster_json(parse(example())))) == {"name", "run", "notebook_role", "clients"}


@pytest.mark.parametrize("region", sorted(regions()))
def test_every_region_has_an_image(region: str) -> None:
    assert image_uri("sklearn", region, "ml.m5.xlarge").endswith(
        f".dkr.ecr.{region}.{dns_suffix(region)}/sagemaker-scikit-learn:1.9-0-cpu-py3"
    )
    where = {"us-gov": "aws-us-gov", "cn-nor": "aws-cn"}.get(region[:6], "aws")
    assert (partition(region), dns_suffix(region).endswith(".cn")) == (where, where == "aws-cn")


def test_the_cdk_command_line_is_the_pinned_one() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/aws-cdk"]["version"] == "2.1148.1"
    assert "resolved" not in (ROOT / "package-lock.json").read_text()
