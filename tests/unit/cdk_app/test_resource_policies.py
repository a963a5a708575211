"""Exactly what endpoints, buckets, keys and topics let through.

resource_policies_expected/*.json are changed by hand, never written by a test. Statements that every bucket
or key has stand there as a sentence (`ALWAYS`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from assembly import NORTH, PEER_NORTH, PEER_SOUTH, SERVER, SOUTH, WEST, Assembly, Template, masked, of_type
from iam_statements import rendered

from rehearsal.aws.policy import Decision, Request, evaluate_resource

EXPECTED = Path(__file__).parent / "resource_policies_expected"
POLICIES: Final = {
    "EC2::VPCEndpoint": "PolicyDocument",
    "S3::BucketPolicy": "PolicyDocument",
    "KMS::Key": "KeyPolicy",
    "SNS::TopicPolicy": "PolicyDocument",
}
EVERYBODY: Final = {"AWS": "*"}
ALWAYS: Final = {
    "nothing without TLS": {
        "Effect": "Deny",
        "Action": "s3:*",
        "Principal": EVERYBODY,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    },
    "nothing before TLS 1.2": {
        "Effect": "Deny",
        "Action": "s3:*",
        "Principal": EVERYBODY,
        "Condition": {"NumericLessThan": {"s3:TlsVersion": 1.2}},
    },
    "what IAM of account ACCOUNT allows": {
        "Effect": "Allow",
        "Action": "kms:*",
        "Principal": {"AWS": "arn:aws:iam::ACCOUNT:root"},
        "Resource": "*",
    },
}


def resource_policies(template: Template) -> dict[str, list[Any]]:
    """Of each resource that has a policy: every statement of it."""
    return {
        name: [masked(rendered(statement)) for statement in properties[key]["Statement"]]
        for kind, key in POLICIES.items()
        for name, properties in of_type(template, kind).items()
    }


def brief(template: Template, account: str) -> dict[str, list[Any]]:
    """The same, with sentences for what every bucket and every key has."""
    owners = {
        name: rendered(properties["Bucket"]).strip("<>")
        for name, properties in of_type(template, "S3::BucketPolicy").items()
    }
    found = resource_policies(template)
    for name, statements in found.items():
        sentences = {
            sentence: json.loads(json.dumps(statement).replace("ACCOUNT", account))
            for sentence, statement in ALWAYS.items()
        }
        for statement in sentences.values():
            statement.setdefault("Resource", [f"<{owners.get(name)}.Arn>", f"<{owners.get(name)}.Arn>/*"])
        found[name] = [
            next((said for said, known in sentences.items() if known == statement), statement)
            for statement in statements
        ]
    return found


@pytest.mark.parametrize(
    ("stack", "file"),
    [(SERVER, "server"), (NORTH, "north"), (SOUTH, "south"), (WEST, "west"), (PEER_NORTH, "peer")],
)
def test_every_resource_policy_has_exactly_these_statements(
    templates: dict[str, Template], stack: str, file: str
) -> None:
    check(templates[stack], stack, file)


@pytest.mark.parametrize(
    ("stack", "file"),
    [(SERVER, "other_server"), (NORTH, "other_direct"), (SOUTH, "other_existing_vpc"), (PEER_SOUTH, "peer")],
)
def test_so_has_that_of_what_the_example_does_not_have(other: Assembly, stack: str, file: str) -> None:
    check(other.templates[stack], stack, file)


def check(template: Template, stack: str, file: str) -> None:
    account = next(part for part in stack.split("-") if part.isdigit() and len(part) == 12)
    expected = json.loads((EXPECTED / f"{file}.json").read_text())
    found = brief(template, account)
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == expected[name], name


@pytest.mark.parametrize("kind", ["Resource", "Action", "Condition"])
def test_a_wildcard_in_the_client_s_s3_endpoint_is_seen(templates: dict[str, Template], kind: str) -> None:
    for name in ("NetworkVpcS334FC449B", "JobSigningKeyEndpointskms9B48E608"):
        seeded = copy.deepcopy(templates[NORTH])
        statement = seeded["Resources"][name]["Properties"]["PolicyDocument"]["Statement"][0]
        value: Any = {} if kind == "Condition" else "*"
        statement[kind] = value
        with pytest.raises(AssertionError, match=name):
            check(seeded, NORTH, "north")
        if kind != "Condition":
            assert list(bare_wildcards(seeded)) == [name]


def test_no_endpoint_lets_everything_through(templates: dict[str, Template], other: Assembly) -> None:
    for template in (*templates.values(), *other.templates.values()):
        assert all("PolicyDocument" in e for e in of_type(template, "EC2::VPCEndpoint").values())
        assert list(bare_wildcards(template)) == []


def bare_wildcards(template: Template) -> Iterator[str]:
    """The endpoints that let through any action, or an action on anything."""
    for name in of_type(template, "EC2::VPCEndpoint"):
        for statement in resource_policies(template)[name]:
            actions, resources = (
                [value] if isinstance(value := statement[key], str) else value
                for key in ("Action", "Resource")
            )
            if statement["Effect"] != "Allow" or any("*" in action for action in actions) or "*" in resources:
                yield name


OWN = {"aws:PrincipalAccount": "222222222222", "aws:ResourceAccount": "222222222222"}
THEIRS = {"aws:PrincipalAccount": "999999999999", "aws:ResourceAccount": "999999999999"}
KICKOFF = "states:StartExecution"


@pytest.mark.parametrize(
    ("stack", "endpoint", "action", "resource", "context", "passes"),
    [
        (NORTH, "NetworkVpcS334FC449B", "s3:GetObject", "<StorageData6BB23F4E.Arn>/train/x", OWN, True),
        (NORTH, "NetworkVpcS334FC449B", "s3:PutObject", "arn:aws:s3:::a-strangers-bucket/rows", OWN, False),
        (NORTH, "NetworkVpcS334FC449B", "s3:GetObject", "<StorageData6BB23F4E.Arn>/train/x", THEIRS, False),
        (NORTH, "NetworkVpcS334FC449B", "s3:PutBucketPolicy", "<StorageData6BB23F4E.Arn>", OWN, False),
        (
            SERVER,
            "NetworkVpcS334FC449B",
            "s3:GetObject",
            "arn:aws:s3:::cms-north-mailbox-222222222222/cms/r",
            OWN,
            True,
        ),
        (
            SERVER,
            "NetworkVpcS334FC449B",
            "s3:PutObject",
            "arn:aws:s3:::cms-north-mailbox-222222222222/cms/r",
            OWN,
            False,
        ),
        (
            SERVER,
            "NetworkVpcS334FC449B",
            "s3:GetObject",
            "arn:aws:s3:::cms-x-mailbox-999999999999/x",
            OWN | {"aws:ResourceAccount": "999999999999"},
            False,
        ),
        (
            SERVER,
            "NetworkVpcS334FC449B",
            "s3:GetObject",
            "arn:aws:s3:::cms-x-mailbox-999999999999/x",
            THEIRS,
            False,
        ),
        (
            SERVER,
            "ApisEndpointsstatesC2CA413C",
            KICKOFF,
            "arn:aws:states:eu-west-1:222222222222:stateMachine:FL-broker-cms-north",
            OWN,
            True,
        ),
        (
            SERVER,
            "ApisEndpointsstatesC2CA413C",
            KICKOFF,
            "arn:aws:states:eu-west-1:222222222222:stateMachine:FL-broker-cmx-north",
            OWN,
            False,
        ),
        (
            SERVER,
            "ApisEndpointsstatesC2CA413C",
            KICKOFF,
            "arn:aws:states:eu-west-1:999999999999:stateMachine:FL-broker-cms-x",
            THEIRS,
            False,
        ),
        (
            SERVER,
            "ApisEndpointssts33F1C15C",
            "sts:AssumeRole",
            "arn:aws:iam::999999999999:role/FL-kickoff-client-job-cms-north",
            {"aws:PrincipalAccount": "111111111111"},
            False,
        ),
        (
            SERVER,
            "ApisEndpointssts33F1C15C",
            "sts:AssumeRole",
            "arn:aws:iam::222222222222:role/FL-kickoff-client-job-cms-north",
            THEIRS,
            False,
        ),
    ],
)
def test_what_passes_an_endpoint(
    templates: dict[str, Template],
    stack: str,
    endpoint: str,
    action: str,
    resource: str,
    context: dict[str, str],
    passes: bool,
) -> None:
    policy = {"Statement": resource_policies(templates[stack])[endpoint]}
    decided = evaluate_resource(policy, Request(action, resource, context), ["anybody"])
    assert (decided is Decision.ALLOW) is passes
