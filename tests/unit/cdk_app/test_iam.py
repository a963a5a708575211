"""Exactly what each role may do: iam_expected/*.json are changed by hand, never written by a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from assembly import NORTH, PEER_NORTH, SERVER, SOUTH, Assembly, Template
from iam_statements import statements

from rehearsal.aws.policy import Decision, Request, evaluate

EXPECTED = Path(__file__).parent / "iam_expected"


@pytest.mark.parametrize(
    ("stack", "file"), [(SERVER, "server"), (NORTH, "north"), (SOUTH, "south"), (PEER_NORTH, "peer_north")]
)
def test_every_role_has_exactly_these_statements(
    templates: dict[str, Template], stack: str, file: str
) -> None:
    expected = json.loads((EXPECTED / f"{file}.json").read_text())
    found = statements(templates[stack])
    assert found.keys() == expected.keys()
    for role in expected:
        assert found[role] == expected[role], role


def test_a_direct_client_s_kickoff_role_has_exactly_these_statements(other: Assembly) -> None:
    expected = json.loads((EXPECTED / "direct_kickoff.json").read_text())
    assert statements(other.templates[NORTH])["KickoffRole72777A9E"] == expected


def every(templates: dict[str, Template], effect: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (role, statement)
        for template in templates.values()
        for role, said in statements(template).items()
        for statement in said["grants"]
        if statement["Effect"] == effect
    ]


def test_only_actions_that_take_no_resource_have_a_bare_wildcard(templates: dict[str, Template]) -> None:
    bare = {
        action
        for _, statement in every(templates, "Allow")
        if statement["Resource"] == "*"
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    # Service Authorization Reference: none of these supports resource-level permissions.
    assert bare == {
        "cloudwatch:PutMetricData",
        *(
            f"ec2:Describe{kind}"
            for kind in ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
        ),
        *(f"logs:{verb}LogDelivery" for verb in ("Create", "Get", "Update", "Delete")),
        *(f"logs:{what}" for what in ("ListLogDeliveries", "PutResourcePolicy", "DescribeResourcePolicies")),
        "logs:DescribeLogGroups",
        *(f"xray:{what}" for what in ("PutTraceSegments", "PutTelemetryRecords")),
        *(f"xray:{what}" for what in ("GetSamplingRules", "GetSamplingTargets")),
        "sagemaker:ListTrainingJobs",
    }


def test_a_job_can_add_to_its_privacy_ledger_and_nothing_else(templates: dict[str, Template]) -> None:
    """An entry that is there cannot be written again, nor deleted: what was spent stays spent."""
    policy = {"Statement": statements(templates[NORTH])["JobExecutionRole2C045EDD"]["grants"]}
    entry = "<StorageArtifacts08431D1F.Arn>/privacy/00000000.json"

    def may(action: str, **context: str) -> bool:
        known = {key.replace("__", ":").replace("_", "-"): value for key, value in context.items()}
        return evaluate([policy], Request(action, entry, known)) is Decision.ALLOW

    assert may("s3:PutObject", s3__if_none_match="*")
    assert not may("s3:PutObject")
    assert may("s3:GetObject")
    assert not any(may(f"s3:{verb}") for verb in ("DeleteObject", "DeleteObjectVersion", "PutObjectAcl"))


def test_no_action_is_a_wildcard(templates: dict[str, Template]) -> None:
    for role, statement in every(templates, "Allow"):
        assert "*" not in json.dumps(statement["Action"]), role


def test_the_server_can_do_nothing_in_a_client_s_account_but_start_watch_stop_and_read_the_mailbox(
    templates: dict[str, Template],
) -> None:
    for stack in (NORTH, SOUTH):
        roles = statements(templates[stack])
        trusting = [role for role, said in roles.items() if "111111111111" in json.dumps(said["trust"])]
        assert trusting == ["KickoffRole72777A9E"]
        granted = {
            action
            for statement in roles["KickoffRole72777A9E"]["grants"]
            for action in (
                [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            )
        }
        assert granted == {
            "kms:Decrypt",
            "s3:GetObject",
            "s3:ListBucket",
            "states:DescribeExecution",
            "states:StartExecution",
            "states:StopExecution",
        }


def test_the_server_takes_exactly_the_kickoff_roles_of_its_clients(templates: dict[str, Template]) -> None:
    taken = [
        statement["Resource"]
        for _, statement in every(templates, "Allow")
        if statement["Action"] == "sts:AssumeRole"
    ]
    assert taken == [
        [
            "arn:aws:iam::222222222222:role/FL-kickoff-client-job-cms-north",
            "arn:aws:iam::333333333333:role/FL-kickoff-client-job-cms-south",
            "arn:aws:iam::444444444444:role/FL-kickoff-client-job-cms-west",
        ]
    ]
