"""Accounts whose `cdk bootstrap` was not the plain one: a key of its bucket, a qualifier, a boundary."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from assembly import NORTH, ROOT, SERVER, SOUTH, WEST, Assembly, Synthesise, Template, example, of_type, plain
from iam_statements import statements

from rehearsal.aws.policy import Decision, Request, evaluate

HOMES = {
    SERVER: ("111111111111", "eu-west-1"),
    NORTH: ("222222222222", "eu-west-1"),
    SOUTH: ("333333333333", "eu-central-1"),
}
QUALIFIER = "clinic"


def key(stack: str) -> str:
    account, region = HOMES[stack]
    return f"arn:aws:kms:{region}:{account}:key/{'a' * 8}-0000-0000-0000-{'b' * 12}"


@pytest.fixture(scope="module")
def bootstrapped(synthesise: Synthesise) -> Assembly:
    """The example: all but west under a key and another qualifier; north is started directly."""
    data = example()
    north, south, west = data["clients"]
    for place, stack in ((data["server"], SERVER), (north, NORTH), (south, SOUTH)):
        place.update(asset_key_arn=key(stack), bootstrap_qualifier=QUALIFIER)
    north.update(kickoff="direct", privacy={"updates": "plain"})
    for client in (south, west):
        client["privacy"] = {"updates": "plain"}
    return synthesise(data)


def grants_on(template: Template, arn: str) -> dict[str, list[Any]]:
    """Of each role: its statements that are about a key."""
    found = {
        role: [s for s in said["grants"] if arn in json.dumps(s["Resource"])]
        for role, said in statements(template).items()
    }
    return {role: grants for role, grants in found.items() if grants}


@pytest.mark.parametrize(
    ("stack", "readers"),
    [
        (SERVER, {"FederationNotebookRole6516CEA4"}),
        (NORTH, {"JobExecutionRole2C045EDD", "DataPreparationNotebookRoleD9856C7E"}),
        (SOUTH, {"BrokerStartRole8ECDFEBE"}),
        (WEST, set()),
    ],
)
def test_exactly_those_who_read_the_bundle_decrypt_it(
    bootstrapped: Assembly, stack: str, readers: set[str]
) -> None:
    if stack is WEST:
        assert "AssetKey" not in bootstrapped.text(WEST)
        return
    (account, region), template = HOMES[stack], bootstrapped.templates[stack]
    assert grants_on(template, key(stack)).keys() == readers
    bucket = f"arn:aws:s3:::cdk-{QUALIFIER}-assets-{account}-{region}"
    for [grant] in grants_on(template, key(stack)).values():
        assert grant["Action"] == "kms:Decrypt"
        [document] = [{"Statement": [grant]}]
        sent = {"kms:ViaService": f"s3.{region}.amazonaws.com"}
        published = grant["Condition"]["StringEquals"]["kms:EncryptionContext:aws:s3:arn"]
        assert published[0] == bucket
        assert all(arn.startswith(f"{bucket}/<asset>") for arn in published[1:])
        for context, allowed in (
            (sent | {"kms:EncryptionContext:aws:s3:arn": bucket}, True),
            (sent | {"kms:EncryptionContext:aws:s3:arn": published[1]}, True),
            (sent | {"kms:EncryptionContext:aws:s3:arn": f"{bucket}/another"}, False),
            (sent, False),
            ({"kms:EncryptionContext:aws:s3:arn": bucket}, False),
        ):
            decided = evaluate([document], Request("kms:Decrypt", key(stack), context))
            assert (decided is Decision.ALLOW) is allowed, context


def test_a_qualifier_is_in_all_that_a_stack_asks_of_its_bootstrap(bootstrapped: Assembly) -> None:
    for stack in HOMES:
        assert "cdk-hnb659fds-assets" not in bootstrapped.text(stack)
        parameter = bootstrapped.templates[stack]["Parameters"]["BootstrapVersion"]
        assert parameter["Default"] == f"/cdk-bootstrap/{QUALIFIER}/version"
    manifest = json.loads((bootstrapped.folder / "manifest.json").read_text())["artifacts"]
    for stack, (account, region) in HOMES.items():
        deployed = manifest[stack]["properties"]["cloudFormationExecutionRoleArn"]
        assert deployed.endswith(f":iam::{account}:role/cdk-{QUALIFIER}-cfn-exec-role-{account}-{region}")
    assert "cdk-hnb659fds-" in manifest[WEST]["properties"]["cloudFormationExecutionRoleArn"]


PREFIXES = {"stepfunctions": "states"}


def test_the_docs_name_every_service_that_an_execution_policy_needs(
    templates: dict[str, Template], other: Assembly
) -> None:
    found = {
        resource["Type"].split("::")[1].lower()
        for template in (*templates.values(), *other.templates.values())
        for resource in template["Resources"].values()
    } - {"cdk"}
    text = (ROOT / "docs" / "deploy.md").read_text()
    [line] = re.findall(r"^Services of an execution policy: (.*)\.$", text, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)) == {PREFIXES.get(service, service) for service in found}


def test_a_qualifier_and_a_boundary_can_be_cdk_s_own_context(synthesise: Synthesise) -> None:
    context: dict[str, Any] = {
        "@aws-cdk/core:bootstrapQualifier": "house",
        "@aws-cdk/core:permissionsBoundary": {"name": "developers"},
    }
    synthesised = synthesise(example(), **context)
    for stack, template in synthesised.templates.items():
        assert "hnb659fds" not in synthesised.text(stack)
        for role in of_type(template, "IAM::Role").values():
            assert plain(role["PermissionsBoundary"]).endswith(":policy/developers")
