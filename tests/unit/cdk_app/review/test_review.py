"""What passes, what a review tells, and how its command ends."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assembly import NORTH, PEER_NORTH, ROOT, SERVER, SOUTH, WEST, Assembly, Template, of_type
from template_changes import KICKOFF, broken, grant, job, objects, resource, statement
from typer.testing import CliRunner

from cdk_app.review.__main__ import cli
from cdk_app.review.review import review
from runtime.contract import INVITATION_PATTERNS, ExitCode, FedstackError

DOORS = "Doors of the network"
LINK_GROUP = "LinkEndpointLinkGroupBC5E78C4"


def clients(assembly: Assembly) -> dict[str, bytes]:
    return {stack: assembly.text(stack).encode() for stack in assembly.templates if "-client-" in stack}


def test_every_client_of_the_example_passes(assembly: Assembly) -> None:
    assert len(clients(assembly)) == 3
    for stack, content in clients(assembly).items():
        assert review(content).passed, (stack, review(content).text)


def test_every_way_to_the_server_passes_and_is_told(linked: Assembly) -> None:
    told = {stack: review(content) for stack, content in clients(linked).items()}
    assert all(found.passed for found in told.values()), [found.text for found in told.values()]
    back = {stack: "\n".join(found.sections["What flows back"]) for stack, found in told.items()}
    assert "dials this account's own endpoint, port 9092" in back[NORTH]
    assert "10.0.0.0/24, port 9092) on a way that the owner of this network made" in back[WEST]
    assert any("endpoint to <parameter EndpointService>" in door for door in told[SOUTH].sections[DOORS])
    whose = [" ".join(found.sections["Whose stack this is"]) for found in told.values()]
    assert all("The server is account 111111111111, eu-west-1." in sentence for sentence in whose)


LINK = "LinkEndpointToServer455A73BC"


def _properties(template: Template, name: str) -> Any:
    return template["Resources"][name]["Properties"]


def _second_endpoint(template: Template) -> None:
    template["Resources"]["Another"] = copy.deepcopy(template["Resources"][LINK])


def _own_address(template: Template) -> None:
    """Dial what the server says, past this account's endpoint."""
    for definition in of_type(template, "StepFunctions::StateMachine").values():
        parts = definition["DefinitionString"]
        parts = parts["Fn::Join"][1] if isinstance(parts, dict) else []
        for index, part in enumerate(parts):
            if isinstance(part, dict) and "Fn::Select" in part:
                parts[index] = "evil.example.org"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_second_endpoint, "second endpoint"),
        (_own_address, "It does not dial"),
        (lambda t: t["Resources"].pop(LINK), "no endpoint of this template"),
        (lambda t: _properties(t, LINK).update(PrivateDnsEnabled=True), "a name in this network's DNS"),
        (lambda t: _properties(t, LINK).update(ServiceName="com.amazonaws.vpce.x.y"), "no endpoint service"),
        (lambda t: _properties(t, LINK).update(VpcId="vpc-1"), "opens another network"),
        (
            lambda t: _properties(t, LINK_GROUP)["SecurityGroupIngress"][0].update(CidrIp="10.0.0.0/8"),
            "lets tcp 9092 in from 10.0.0.0/8",
        ),
        (
            lambda t: _properties(t, LINK_GROUP)["SecurityGroupIngress"][0].update(ToPort=9093),
            "lets tcp 9092-9093 in",
        ),
        (
            lambda t: t["Parameters"]["EndpointService"].update(AllowedPattern=".*"),
            "not among what a client's stack may be asked for",
        ),
    ],
)
def test_another_door_by_privatelink_is_objected_to(
    linked: Assembly, change: Callable[[Template], Any], said: str
) -> None:
    template = copy.deepcopy(linked.templates[NORTH])
    change(template)
    result = review(json.dumps(template).encode())
    assert not result.passed
    assert said in result.text


def test_every_client_passes_whatever_its_owner_chose(varied: Assembly, other: Assembly) -> None:
    """Partitions, spot, notebooks, own images, keys and networks, Regions, each kind of updates."""
    chosen = {**clients(varied), **{stack: c for stack, c in clients(other).items() if stack != NORTH}}
    assert len(chosen) == 6
    for stack, content in chosen.items():
        assert review(content).passed, (stack, review(content).text)


def test_a_hand_off_package_s_template_passes_and_differs_in_where_its_code_comes_from(
    assembly: Assembly, packaged: bytes
) -> None:
    result = review(packaged, clients(assembly)[NORTH])
    assert result.passed, result.text
    assert result.added is not None
    assert result.removed is not None
    added = [line for lines in result.added.values() for line in lines]
    removed = [line for lines in result.removed.values() for line in lines]
    assert added
    assert all("bundle" in line for line in added)
    assert all("cdk-hnb659fds-assets" in line or "BootstrapVersion" in line for line in removed)


def test_direct_kickoff_fails_and_tells_what_it_opens(other: Assembly) -> None:
    result = review(clients(other)[NORTH])
    assert not result.passed
    [direct] = [p for p in result.problems if p.what.startswith("kickoff: direct")]
    assert "image, code and privacy policy cannot be pinned" in direct.what
    examples = [p.counterexample.action for p in result.problems if p.counterexample is not None]
    assert "sagemaker:CreateTrainingJob" in examples
    assert result.sections["What the server chooses in a job"] == [
        "Everything but what IAM's conditions above hold it to."
    ]
    others = {p.where for p in result.problems if p is not direct}
    assert all(where.startswith("KickoffRoleDefaultPolicy") for where in others), (
        "and nothing else is objected to"
    )


@pytest.fixture(scope="module")
def told(assembly: Assembly) -> dict[str, list[str]]:
    return review(clients(assembly)[NORTH]).sections


def test_it_tells_who_may_enter(told: dict[str, list[str]]) -> None:
    server = "arn:aws:iam::111111111111:role/FL-server-notebook-cms"
    assert told["Who from outside may enter"] == [
        f"The server's account may take the kickoff role, if aws:PrincipalArn is like {server} and "
        "sts:ExternalId is cms/north.",
        "Whoever takes the kickoff role keeps it for 3600 seconds, and may take it anew.",
        "No other policy of this template names anybody outside the account.",
    ]


def test_it_tells_what_the_server_may_do(told: dict[str, list[str]]) -> None:
    who, mailbox = "The server, in the kickoff role, may", "cms-north-mailbox-222222222222"
    assert told["What the server may do here"] == [
        f"{who} read (s3:GetObject): {mailbox}/cms/*.",
        f"{who} list (s3:ListBucket): {mailbox}.",
        f"{who} decrypt with (kms:Decrypt): key/<operations key>, if kms:ViaService is "
        f"s3.eu-west-1.amazonaws.com and kms:EncryptionContext:aws:s3:arn is {mailbox}.",
        f"{who} start (states:StartExecution): stateMachine:FL-broker-cms-north.",
        f"{who} watch (states:DescribeExecution), stop (states:StopExecution): "
        "execution:FL-broker-cms-north:*.",
    ]


def test_it_tells_what_the_server_chooses_by_the_patterns_of_the_contract(told: dict[str, list[str]]) -> None:
    said = told["What the server chooses in a job"]
    for option, pattern in INVITATION_PATTERNS.items():
        assert f"{option.value.replace('-', '_')}, which must match {pattern}." in said
    assert "server_address, which must match :9092$." in said


def test_it_tells_what_is_pinned_and_what_it_can_cost(varied: Assembly, told: dict[str, list[str]]) -> None:
    pinned = told["What is pinned in a job"]
    assert f"The code, by the SHA-256 of its bundle: {1:064x}." in pinned
    assert "The privacy policy's updates: sums." in pinned
    assert "It may be summed with south, whose public key is <parameter SigningKeySouth>." in pinned
    [spot] = [content for stack, content in clients(varied).items() if "-north-" in stack]
    assert review(spot).sections["What it can cost"][:2] == [
        "A run: at most 420 minutes of ml.c5.2xlarge with 30 GB, about 3.87 US dollars.",
        "A day (UTC): at most 21 hours of such jobs: at most 3 start in a day, one at a time, about 11.61 US "
        "dollars.",
    ]


def test_it_tells_what_flows_back_and_the_doors(assembly: Assembly, told: dict[str, list[str]]) -> None:
    assert told["What flows back"][0].startswith("Model updates leave masked, only in sums")
    assert "JobJobGroup2D532CF2 may dial tcp 9092 of 10.0.0.0/24." in told["Doors of the network"]
    south = review(clients(assembly)[SOUTH]).sections["Doors of the network"]
    assert any(line.startswith("10.0.0.0/24 may dial tcp 443 of KickoffEndpoint") for line in south)


def test_it_tells_what_it_does_not_see(other: Assembly) -> None:
    unseen = review(clients(other)[SOUTH]).sections["What this review does not see"]
    assert any(line.startswith("The policy of the data key key/12345678") for line in unseen)
    assert any(line.startswith("The network: its routes") for line in unseen)
    assert any(line.startswith("The data are deleted with the stack") for line in unseen)


def test_it_names_the_bytes_that_it_read(assembly: Assembly) -> None:
    content = clients(assembly)[WEST]
    digest = hashlib.sha256(content).hexdigest()
    assert review(content).sha256 == digest
    assert review(content).text.startswith(f"Template  sha256 {digest}\n")
    assert review(content + b"\n").sha256 != digest


def test_it_tells_the_difference_from_the_version_before(templates: dict[str, Template]) -> None:
    def widen(template: Template) -> None:
        grant(template, KICKOFF, "s3:GetObject", objects(template, "StorageData"))
        job(template, lambda request: request["StoppingCondition"].update(MaxRuntimeInSeconds=7200))
        job(template, lambda request: request["HyperParameters"].update({"run-seconds": "7200"}))

    before, after = broken(templates[NORTH], lambda _: None), broken(templates[NORTH], widen)
    result = review(after, before)
    assert result.previous_sha256 == hashlib.sha256(before).hexdigest()
    assert result.added == {
        "What the server may do here": [
            "The server, in the kickoff role, may read (s3:GetObject): <data bucket>/*."
        ],
        "What it can cost": ["A run: at most 120 minutes of ml.m5.xlarge with 30 GB, about 0.58 US dollars."],
    }
    assert result.removed == {
        "What it can cost": ["A run: at most 60 minutes of ml.m5.xlarge with 30 GB, about 0.29 US dollars."],
    }
    assert "  + What the server may do here: The server, in the kickoff role, may read" in result.text
    assert "no difference in any sentence" in review(before, before).text


def test_a_resource_s_other_name_is_no_difference(templates: dict[str, Template]) -> None:
    """CDK's logical ids end with a hash of where a construct stands."""
    text = json.dumps(templates[NORTH])
    moved = text.replace("StorageData6BB23F4E", "StorageData00000000").encode()
    result = review(moved, text.encode())
    assert (result.passed, result.added, result.removed) == (True, {}, {})


@pytest.mark.parametrize("stack", [SERVER, PEER_NORTH])
def test_the_server_s_own_stacks_are_refused_by_name(assembly: Assembly, stack: str) -> None:
    with pytest.raises(FedstackError, match="This is no client's stack") as caught:
        review(assembly.text(stack).encode())
    assert caught.value.code == ExitCode.CONFIG


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"AWSTemplateFormatVersion: 2010-09-09",
        b"[]",
        b'{"Resources": []}',
        b'{"Resources": {}, "Resources": {}}',
        b'{"Resources": {"A": {"Type": "AWS::S3::Bucket"}, "A": {}}}',
        '{"Resources": {"\U000f0001": {}}}'.encode(),
        b'{"Resources": {"A": 1}}',
        b'{"Resources": ' + b'{"A":' * 3000 + b"1" + b"}" * 3001,
    ],
)
def test_what_is_no_template_is_one_clear_error(content: bytes) -> None:
    with pytest.raises(FedstackError) as caught:
        review(content)
    assert caught.value.code == ExitCode.CONFIG


def test_a_thing_said_twice_in_a_definition_is_an_objection(templates: dict[str, Template]) -> None:
    """Of two keys, one reader takes the first and another the last."""
    changed = copy.deepcopy(templates[NORTH])
    pieces = resource(changed, "BrokerStartStateMachine")["DefinitionString"]["Fn::Join"][1]
    pieces[0] = pieces[0].replace('{"Comment":', '{"StartAt":"StartJob","Comment":', 1)
    with pytest.raises(FedstackError, match="starts no training job"):
        review(json.dumps(changed).encode())


def test_nothing_that_a_template_says_can_forge_a_line_of_the_review(templates: dict[str, Template]) -> None:
    def forge(template: Template) -> None:
        statement(template, KICKOFF, "ReadMailbox").update(Sid="x\nPASS: all is well\x1b[2K", Resource="*")

    text = review(broken(templates[NORTH], forge)).text
    assert "\nPASS" not in text
    assert "\x1b" not in text
    assert "x\\nPASS" in text


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout


def test_the_command_ends_with_what_it_found(tmp_path: Path, templates: dict[str, Template]) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(templates[NORTH]))

    def change(template: Template) -> Any:
        return statement(template, KICKOFF, "ReadMailbox").update(Resource="*")

    bad.write_bytes(broken(templates[NORTH], change))
    code, text = run(good)
    assert (code, text.splitlines()[-1]) == (0, "PASS: the template allows nothing beyond the boundary.")
    code, text = run(bad, "--previous", good)
    assert code == ExitCode.REVIEW
    assert "FAIL: 1 objection" in text
    code, text = run(bad, "--json")
    assert code == ExitCode.REVIEW
    found = json.loads(text)
    assert found["verdict"] == "FAIL"
    assert found["problems"][0]["counterexample"] == {
        "principal": "arn:aws:iam::222222222222:role/FL-kickoff-client-job-cms-north",
        "action": "s3:GetObject",
        "resource": "arn:aws:s3:::<data bucket>/train/data.csv",
    }


def test_the_command_says_which_file_it_cannot_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, [str(tmp_path / "none.json")])
    assert isinstance(result.exception, FedstackError)
    assert "none.json: No such file" in result.exception.what


def test_every_exit_code_has_an_entry_in_the_page() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert f"## {int(ExitCode.REVIEW)} {ExitCode.REVIEW.name}" in page


def test_several_templates_are_told_in_their_order_and_one_that_fails_fails_all(
    assembly: Assembly, other: Assembly, tmp_path: Path
) -> None:
    files = [each.folder / f"{stack}.template.json" for each in (assembly, other) for stack in (WEST, NORTH)]
    result = CliRunner().invoke(cli, [*map(str, files), "--json"])
    assert result.exit_code == ExitCode.REVIEW  # the other's north is started directly
    told = json.loads(result.output)
    assert [each["template"] for each in told] == [str(file) for file in files]
    assert [each["verdict"] for each in told] == ["PASS", "PASS", "PASS", "FAIL"]
    assert [each["sha256"] for each in told] == [hashlib.sha256(f.read_bytes()).hexdigest() for f in files]
    said = CliRunner().invoke(cli, list(map(str, files[:2])))
    assert said.exit_code == ExitCode.OK
    alone = [CliRunner().invoke(cli, [str(file)]).output.strip() for file in files[:2]]
    assert said.output.strip() == "\n\n\n".join(f"{f}\n{text}" for f, text in zip(files, alone, strict=False))


def test_all_that_are_no_templates_are_named_at_once(assembly: Assembly, tmp_path: Path) -> None:
    file = assembly.folder / f"{WEST}.template.json"
    wrong = [assembly.folder / f"{SERVER}.template.json", tmp_path / "none.json"]
    result = CliRunner().invoke(cli, list(map(str, [wrong[0], file, wrong[1]])))
    assert isinstance(result.exception, FedstackError)
    first, second = str(result.exception).splitlines()
    assert first.startswith(f"{wrong[0]}: This is no client's stack")
    assert second.startswith(f"{wrong[1]}: No such file")
    result = CliRunner().invoke(cli, [str(file), str(file), "--previous", str(file)])
    assert "--previous is a version of one template, and 2 are given." in str(result.exception)
    result = CliRunner().invoke(cli, [str(file), "--previous", str(wrong[0])])
    assert str(result.exception).startswith(f"{wrong[0]}: This is no client's stack")
    result = CliRunner().invoke(cli, [str(wrong[1]), "--previous", str(wrong[0])])
    assert str(result.exception).splitlines() == [second, first]
