"""What must hold for everything that synth writes, whatever the stacks contain."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from assembly import (
    NORTH,
    PEER_NORTH,
    PEER_SOUTH,
    PEER_WEST,
    ROOT,
    SERVER,
    SOUTH,
    WEST,
    Assembly,
    Synthesise,
    Template,
    example,
    of_type,
)

COMMITTED = Path(__file__).parent
CLIENTS, PEERS = (NORTH, SOUTH, WEST), (PEER_NORTH, PEER_SOUTH, PEER_WEST)


def test_the_example_has_a_stack_per_account_and_one_more_per_client(templates: dict[str, Template]) -> None:
    assert set(templates) == {SERVER, *CLIENTS, *PEERS}


def test_synth_says_nothing_and_looks_nothing_up(assembly: Assembly) -> None:
    assert assembly.messages("aws:cdk:warning") == {}
    assert assembly.messages("aws:cdk:error") == {}
    manifest = json.loads((assembly.folder / "manifest.json").read_text())
    assert "missing" not in manifest


def report(assembly: Assembly) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((assembly.folder / "validation-report.json").read_text())
    return said


def test_every_checker_is_content(assembly: Assembly, other: Assembly, linked: Assembly) -> None:
    for each in (assembly, other, linked):
        plugins = {p["pluginName"]: p for p in report(each)["pluginReports"]}
        assert plugins["AwsSolutions"]["conclusion"] == "success"
        assert plugins["CloudFormation Validate"]["conclusion"] == "success"  # off in app.py, for its time
        assert all(
            plugin["violations"] == [] for name, plugin in plugins.items() if name != "Construct Annotations"
        )


def acknowledged(assembly: Assembly) -> list[tuple[str, str, str]]:
    return sorted(
        {
            (finding["ruleName"], violation["constructPath"], finding["reason"])
            for plugin in report(assembly)["pluginReports"]
            for finding in plugin.get("suppressedViolations", [])
            for violation in finding["violatingConstructs"]
        }
    )


def test_privatelink_has_one_acknowledged_finding_more(assembly: Assembly, linked: Assembly) -> None:
    more = {found[:2] for found in acknowledged(linked)} - {found[:2] for found in acknowledged(assembly)}
    assert more == {("AwsSolutions-ELB2", f"{SERVER}/LinkService/Balancer/Resource")}


def test_every_acknowledged_finding_is_on_the_committed_list_with_its_reason(assembly: Assembly) -> None:
    """A new acknowledgement is a decision: it is written down in acknowledged.json, and read in review."""
    found = acknowledged(assembly)
    expected = json.loads((COMMITTED / "acknowledged.json").read_text())
    assert [list(each) for each in found] == expected
    assert all(len(reason) > 20 for _, _, reason in found)


def test_cfn_lint_finds_nothing(assembly: Assembly, other: Assembly, linked: Assembly) -> None:
    templates = [
        str(path) for each in (assembly, other, linked) for path in each.folder.glob("*.template.json")
    ]
    # W3010: the federation file names the zones, so that synth looks nothing up. W3005: a dependency that
    # CDK states beside the reference that implies it.
    command = [
        str(Path(sys.executable).with_name("cfn-lint")),
        "--ignore-checks",
        "W3010",
        "W3005",
        "--",
        *templates,
    ]
    said = subprocess.run(command, capture_output=True, text=True)
    assert (said.stdout, said.returncode) == ("", 0)


def test_no_refactoring_replaces_what_holds_data(templates: dict[str, Template]) -> None:
    stateful = ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SageMaker::NotebookInstance", "AWS::EC2::VPC")
    found = {
        stack: sorted(key for key, r in template["Resources"].items() if r["Type"] in stateful)
        for stack, template in templates.items()
    }
    assert found == json.loads((COMMITTED / "stateful_ids.json").read_text())


def test_every_dependency_between_stacks_is_declared_and_none_leaves_its_account(assembly: Assembly) -> None:
    artifacts = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"]
    stacks = {key: each for key, each in artifacts.items() if each["type"] == "aws:cloudformation:stack"}
    depends = {
        key: [other for other in each.get("dependencies", []) if other in stacks]
        for key, each in stacks.items()
    }
    assert depends == {stack: [SERVER] if stack in PEERS else [] for stack in (SERVER, *CLIENTS, *PEERS)}
    for key, needed in depends.items():
        assert {stacks[other]["environment"] for other in needed} <= {stacks[key]["environment"]}


def test_a_template_refers_to_no_other_account_s_stack(assembly: Assembly) -> None:
    for stack in (SERVER, *CLIENTS):
        assert "Fn::ImportValue" not in assembly.text(stack)
        assert "Fn::GetStackOutput" not in assembly.text(stack)
    for peer in PEERS:
        imports = re.findall(r'"Fn::ImportValue": "([^"]+)"', assembly.text(peer))
        assert imports
        assert all(name.startswith(f"{SERVER}:") for name in imports)


def test_adding_or_removing_a_client_leaves_every_other_client_s_template_as_it_was(
    assembly: Assembly, synthesise: Synthesise
) -> None:
    """But for those whose owners agree to be summed with it."""
    data = example()
    east = dict(data["clients"][2], name="east", account="555555555555", cidr="10.0.4.0/24")
    added = synthesise(data | {"clients": [east, *data["clients"]]})
    for stack in (*CLIENTS, *PEERS):
        assert added.text(stack) == assembly.text(stack)
    assert added.text(SERVER) != assembly.text(SERVER)

    data["clients"][0]["privacy"]["cohort"].append("east")
    agreed = synthesise(data | {"clients": [east, *data["clients"]]})
    for stack in (SOUTH, WEST, *PEERS, SERVER):
        assert agreed.text(stack) == added.text(stack)
    assert agreed.templates[NORTH]["Parameters"].keys() - added.templates[NORTH]["Parameters"].keys() == {
        "SigningKeyEast"
    }


SECRETS = {
    "an AWS access key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password or token": r'(?i)"[^"]*(password|secret|token)[^"]*"\s*:\s*"[^"]+"',
}


def test_there_is_no_secret_in_the_assembly(assembly: Assembly, other: Assembly) -> None:
    for each in (assembly, other):
        for path in each.folder.glob("*"):
            if path.suffix in (".json", ".out"):
                for what, pattern in SECRETS.items():
                    assert not re.search(pattern, path.read_text()), f"{what} in {path.name}"


def policies(template: Template) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every statement of every policy, with the kind of resource that it is part of."""

    def walk(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            if "Statement" in value:
                yield from value["Statement"]
            for part in value.values():
                yield from walk(part)
        elif isinstance(value, list):
            for part in value:
                yield from walk(part)

    for key, resource in template["Resources"].items():
        for statement in walk(resource["Properties"]):
            yield key, resource["Type"], statement


def everyone(principal: Any) -> bool:
    return principal == "*" or (isinstance(principal, dict) and "*" in json.dumps(principal))


def test_nothing_is_allowed_to_everyone(assembly: Assembly, other: Assembly) -> None:
    """Endpoint policies must name everyone (AWS); a condition says who, but for one public bucket of AWS."""
    for each in (assembly, other):
        for template in each.templates.values():
            for key, kind, statement in policies(template):
                if statement["Effect"] == "Deny" or not everyone(statement.get("Principal")):
                    continue
                assert kind == "AWS::EC2::VPCEndpoint", key
                if statement["Sid"] == "AmazonLinuxPackages":
                    assert re.fullmatch(
                        r"arn:aws:s3:::al2023-repos-[a-z0-9-]+-de612dc2/\*", statement["Resource"]
                    )
                    assert statement["Action"] == "s3:GetObject"
                else:
                    [accounts] = [statement["Condition"]["StringEquals"]["aws:PrincipalAccount"]]
                    assert accounts
                    assert set(accounts) <= {f"{number}" * 12 for number in range(1, 6)}


def test_no_account_trusts_another_account_but_under_one_role_s_name_or_to_accept_a_peering(
    templates: dict[str, Template],
) -> None:
    for template in templates.values():
        for key, role in of_type(template, "IAM::Role").items():
            if ":root" not in json.dumps(role["AssumeRolePolicyDocument"]) or key.startswith("Accepter"):
                continue
            [trust] = role["AssumeRolePolicyDocument"]["Statement"]
            named = trust["Condition"]["ArnEquals"]["aws:PrincipalArn"]
            assert re.fullmatch(r"arn:aws:iam::111111111111:role/FL-server-notebook-\w+", str(named)), key


def test_everything_stays_within_cloudformation_s_limits(assembly: Assembly) -> None:
    for stack, template in assembly.templates.items():
        assert len(template["Resources"]) <= 250
        assert len(assembly.text(stack)) <= 200_000


@pytest.mark.parametrize("key", ["project"])
def test_every_bucket_and_key_has_the_federation_s_tags(templates: dict[str, Template], key: str) -> None:
    for template in templates.values():
        for kind in ("S3::Bucket", "KMS::Key", "IAM::Role", "StepFunctions::StateMachine"):
            for properties in of_type(template, kind).values():
                assert {"Key": key, "Value": "federated-learning"} in properties["Tags"]


def test_the_schema_for_editors_is_current() -> None:
    from cdk_app.config.json_schema import SCHEMA, schema_json

    assert SCHEMA.read_text() == schema_json()


def test_no_committed_file_of_the_set_up_names_a_registry() -> None:
    for name in (
        "package-lock.json",
        "requirements.txt",
        "requirements-dev.txt",
        "runtime/client/requirements.txt",
    ):
        assert "://" not in re.sub(r'"(funding|url)": "[^"]*"', "", (ROOT / name).read_text()), name
