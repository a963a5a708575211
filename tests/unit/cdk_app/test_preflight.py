"""Preflight's parts: policies, templates, clocks, quotas, images, and whose a failure is."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from base64 import b64encode
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import boto3
import pytest
from assembly import ROOT
from botocore.exceptions import EndpointConnectionError
from made_up_account import a_side, problems, refusal, stack
from own_accounts import moved

from cdk_app.naming import ServerNames
from cdk_app.preflight.account import Account
from cdk_app.preflight.checks import consent, data, quotas
from cdk_app.preflight.checks.bundle import of_parts
from cdk_app.preflight.deployed import DeployedStack
from cdk_app.preflight.policies import differences
from cdk_app.preflight.table import CLIENT, SERVER
from runtime.contract import ExitCode, FedstackError
from runtime.server.preflight.caller import Caller, clock, who
from runtime.server.preflight.findings import Check, NotCheckedError, Owner, Problem, Status, exit_code, run
from runtime.server.preflight.reach import ON_NOTEBOOK, Reach, kickoff_role
from runtime.server.preflight.show import as_json, lines
from runtime.server.roster import NOTEBOOK_ROLE, Client

SERVER_OWNER, NORTH = Owner("server", "111111111111", is_server=True), Owner("north", "222222222222")
READ = {"Sid": "Read", "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "arn:b"}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (READ | {"Action": ["s3:ListBucket", "s3:GetObject"], "Sid": "Other"}, READ),
        (READ | {"Resource": ["arn:b"]}, READ),
        (READ | {"Principal": {"AWS": "arn:aws:iam::1:root"}}, READ | {"Principal": {"AWS": ["1"]}}),
        (READ | {"Principal": "*"}, READ | {"Principal": {"AWS": "*"}}),
        (READ | {"Condition": {"Bool": {"a": "true"}}}, READ | {"Condition": {"Bool": {"a": True}}}),
    ],
)
def test_policies_that_say_the_same_do_not_differ(live: Any, expected: Any) -> None:
    other = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    assert list(differences(json.dumps(policy(live, other)), policy(other, expected))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"Action": "s3:*"},
        {"Resource": ["arn:b", "*"]},
        {"Effect": "Deny"},
        {"Condition": {"StringEquals": {"a": "b"}}},
        {"Principal": {"AWS": "2"}},
        {"NotAction": "iam:*"},
    ],
)
def test_every_part_of_a_statement_counts(change: dict[str, Any]) -> None:
    lacks, more = differences(policy(READ | change), policy(READ))
    assert lacks.startswith("it lacks the statement ('Read': Allow")
    assert more.startswith("it has a statement more")


def test_a_policy_that_is_gone_lacks_all_and_one_that_nobody_wrote_is_too_much() -> None:
    assert len(list(differences(None, policy(READ)))) == 1
    assert len(list(differences(policy(READ), None))) == 1


def test_references_of_a_template_become_what_is_in_the_account() -> None:
    resources = {
        "Key0BC5204F": {"Type": "AWS::KMS::Key"},
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "Key": {"Fn::GetAtt": ["Key0BC5204F", "Arn"]},
                "Text": {"Fn::Join": [":", ["a", {"Ref": "AWS::Partition"}, {"Ref": "Told"}]]},
                "Sub": {"Fn::Sub": ["${x}-${Key0BC5204F}-${!left}", {"x": {"Ref": "AWS::Region"}}]},
                "Part": {"Fn::Select": [1, {"Fn::Split": ["-", "a-b"]}]},
                "Base": {"Fn::Base64": "a"},
                "There": {"Fn::ImportValue": "shared"},
                "List": [{"Ref": "AWS::NoValue"}, "b"],
                "Nothing": {"Ref": "AWS::NoValue"},
            },
        },
    }
    described = {
        "StackName": "s",
        "StackStatus": "CREATE_COMPLETE",
        "Parameters": [{"ParameterKey": "Told", "ParameterValue": "said", "ResolvedValue": "resolved"}],
    }
    there = [{"LogicalResourceId": name, "PhysicalResourceId": f"id-{name}"} for name in resources]
    stack = DeployedStack(described, {"Resources": resources}, there, "1", "us-gov-west-1")
    stack.imports = {"shared": "value"}
    role = stack.resource("AWS::IAM::Role")
    assert role is not None
    assert role.properties == {
        "Key": "arn:aws-us-gov:kms:us-gov-west-1:1:key/id-Key0BC5204F",
        "Text": "a:aws-us-gov:resolved",
        "Sub": "us-gov-west-1-id-Key0BC5204F-${left}",
        "Part": "b",
        "Base": "YQ==",
        "There": "value",
        "List": ["b"],
    }
    assert [key.name for key in stack.resources("AWS::KMS::Key")] == ["Key"]


def session(answer: Any) -> MagicMock:
    made = MagicMock()
    made.client.return_value.get_caller_identity.side_effect = [answer]
    return made


def answered(date: str, **said: str) -> dict[str, Any]:
    return {**said, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}


NINE = 1796029200.0  # 2026-11-30 09:00:00 UTC


@pytest.mark.parametrize(("now", "cause"), [(NINE + 61, "61 s ahead of"), (NINE - 200, "200 s behind")])
def test_a_clock_that_is_off_is_this_side_s(now: float, cause: str) -> None:
    said = answered("Mon, 30 Nov 2026 09:00:00 GMT", Account="1", Arn="arn:x")
    caller = who(session(said), "eu-west-1", lambda: now)
    found = problems(clock(caller, NORTH))
    assert [(each.owner, cause in each.cause) for each in found] == [(NORTH, True)]
    assert problems(clock(who(session(said), "eu-west-1", lambda: NINE + 30), NORTH)) == []


def test_a_clock_so_wrong_that_aws_takes_no_signature_is_still_the_clock() -> None:
    error = refusal("SignatureDoesNotMatch", "GetCallerIdentity")
    error.response |= answered("Mon, 30 Nov 2026 09:00:00 GMT")
    caller = who(session(error), "eu-west-1", lambda: NINE + 3600)
    assert "3600 s ahead" in problems(clock(caller, NORTH))[0].cause
    with pytest.raises(FedstackError, match="does not take these credentials"):
        who(session(error), "eu-west-1", lambda: NINE)


def test_credentials_that_have_expired_are_an_error_of_their_own() -> None:
    with pytest.raises(FedstackError, match="ExpiredToken"):
        who(session(refusal("ExpiredToken")), "eu-west-1")


def test_a_check_that_fails_and_decides_leaves_the_rest_unasked() -> None:
    def bad(_: object) -> Any:
        yield Problem(SERVER_OWNER, "cause", "fix")

    def never(_: object) -> Any:
        raise AssertionError

    first, second = run([Check("a", bad, decides=True), Check("b", never)], object(), NORTH)
    assert (first.status, second.status, second.text) == (Status.FAIL, Status.NOT_CHECKED, "because of a")


def test_what_aws_refuses_or_cannot_be_asked_is_a_failure_of_who_asks_and_not_green() -> None:
    def may_not(_: object) -> Any:
        raise refusal("UnauthorizedOperation", "DescribeVpcs")
        yield

    def away(_: object) -> Any:
        yield "seen before"
        raise EndpointConnectionError(endpoint_url="https://ec2")

    def elsewhere(_: object) -> Any:
        yield "seen before"
        raise NotCheckedError("no stack")

    found = list(run([Check("a", may_not), Check("b", away), Check("c", elsewhere)], object(), NORTH))
    assert [each.status for each in found] == [Status.FAIL, Status.FAIL, Status.NOT_CHECKED]
    assert "docs/preflight.md" in found[0].fix
    assert exit_code(found) is ExitCode.PREFLIGHT_CLIENT


@pytest.mark.parametrize(
    ("owners", "code"),
    [
        ([], ExitCode.OK),
        ([SERVER_OWNER], ExitCode.PREFLIGHT_SERVER),
        ([NORTH, NORTH], ExitCode.PREFLIGHT_CLIENT),
        ([NORTH, SERVER_OWNER], ExitCode.PREFLIGHT_BOTH),
    ],
)
def test_the_exit_code_says_whose_the_failures_are(owners: list[Owner], code: ExitCode) -> None:
    def all_of(_: object) -> Any:
        yield from (Problem(owner, "cause", "fix") for owner in owners)

    found = list(run([Check("a", all_of)], object(), NORTH))
    assert exit_code(found) is code
    told = json.loads(as_json(found, 1.0, side="client"))
    assert (told["code"], told["exit"], told["side"]) == (code, code.name, "client")


def test_what_an_account_says_cannot_write_to_the_terminal() -> None:
    def bad(_: object) -> Any:
        yield Problem(NORTH, "a \x1b[31mred\x1b[0m name", "fix")

    (finding,) = run([Check("a", bad)], object(), NORTH)
    assert "\x1b" not in "".join(line.plain for line in lines(finding))


ROSTER = [
    Client.model_validate(
        {
            "name": name,
            "kickoff": "broker",
            "region": "eu-west-1",
            "external_id": "x",
            "kickoff_role_arn": f"arn:aws:iam::{account}:role/k",
            "state_machine_arn": f"arn:aws:states:eu-west-1:{account}:stateMachine:b",
        }
    )
    for name, account in (("north", "222222222222"), ("west", "444444444444"))
]


def reach_of(clients: list[Client], lets: dict[str, list[str | None]]) -> Reach:
    """Return a server whose clients' roles let it in with these external ids."""
    reach = Reach(clients, SERVER_OWNER, {}, MagicMock())

    def assume(RoleArn: str, RoleSessionName: str, ExternalId: str | None = None) -> dict[str, Any]:  # noqa: N803
        if ExternalId in lets.get(RoleArn, []):
            return {}
        raise refusal("AccessDenied", "AssumeRole")

    reach.session.client.return_value.assume_role = assume
    return reach


@pytest.mark.parametrize(
    ("clients", "lets", "owners"),
    [
        (ROSTER, [["x"], ["x"]], []),
        (ROSTER, [["x"], []], ["west"]),
        (ROSTER, [[], []], ["server"]),
        (ROSTER[:1], [[]], ["north"]),
        (ROSTER, [["x", None], ["x"]], ["north"]),
        (ROSTER, [["x"], ["x", "fedstack-preflight"]], ["west"]),
    ],
    ids=["all", "one refuses", "all refuse", "the only one refuses", "without an id", "with any id"],
)
def test_whose_it_is_that_a_role_is_refused_or_given_too_easily(
    clients: list[Client], lets: list[list[str | None]], owners: list[str]
) -> None:
    reach = reach_of(clients, {c.kickoff_role_arn: ids for c, ids in zip(clients, lets, strict=True)})
    assert [problem.owner.name for problem in problems(kickoff_role(reach))] == owners


def test_roles_are_tried_in_the_server_s_region_where_the_credentials_have_no_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """STS of no Region is that of AWS's own partition: to it, credentials of China are none."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    asked: list[str] = []

    def call(self: Any, operation: str, _: Any) -> dict[str, Any]:
        asked.append(f"{operation} {self.meta.endpoint_url}")
        raise refusal("AccessDenied", operation)

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", call)
    side = a_side(None, lambda data: moved(data, "cn-north-1", "cn-northwest-1"))
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b")
    side.account = Account(session, side.place.account, side.place.region)
    [tried] = [check for check in SERVER if check.name == "kickoff-role"]
    assert list(tried.look(side)) == ["refuses this caller, as it should"]
    assert asked == ["AssumeRole https://sts.cn-north-1.amazonaws.com.cn"] * 3


def test_the_notebook_s_role_is_named_as_the_server_s_stack_names_it() -> None:
    assert NOTEBOOK_ROLE.format(federation="cms") == ServerNames("cms", "1", "eu-west-1").notebook_role


def values(**quotas: float) -> dict[str, Any]:
    return {"Quotas": [{"QuotaName": n.replace("_", " "), "Value": v} for n, v in quotas.items()]}


USAGE = "ml.m5.xlarge for training job usage"


@pytest.mark.parametrize(
    ("who", "applied", "default", "cause"),
    [
        ("north", {USAGE: 1}, {}, None),
        ("north", {}, {USAGE: 4}, None),
        ("north", {USAGE: 0}, {USAGE: 4}, "is 0 in eu-west-1; the federation needs 1"),
        ("north", {}, {}, "AWS has no quota"),
        (
            "south",
            {USAGE: 5, "ml.m5.xlarge for spot training job usage": 0},
            {},
            "spot training job usage' is 0",
        ),
    ],
)
def test_the_account_s_own_quota_counts_before_aws_s_default(
    who: str, applied: dict[str, float], default: dict[str, float], cause: str | None
) -> None:
    peerings = {quotas.PEERINGS: 50.0}
    side = a_side(
        who,
        describe_vpc_peering_connections={"VpcPeeringConnections": []},
        list_service_quotas=lambda asked: values(
            **(applied if asked["ServiceCode"] == "sagemaker" else peerings)
        ),
        list_aws_default_service_quotas=lambda _: values(**default),
    )
    found = [each.cause for each in problems(quotas.quotas(side))]
    assert [str(cause) in each for each in found] == ([] if cause is None else [True]), found


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ({"images": [{}], "failures": []}, None),
        ({"images": [], "failures": [{"failureCode": "ImageNotFound"}]}, "is not there: ImageNotFound"),
        (refusal("RepositoryNotFoundException"), "cannot be pulled: RepositoryNotFoundException"),
        (refusal("AccessDeniedException"), "cannot be pulled: AccessDeniedException"),
    ],
)
def test_an_image_is_asked_for_as_a_pull_asks(answer: Any, cause: str | None) -> None:
    own = f"222222222222.dkr.ecr.eu-west-1.amazonaws.com/a/b@sha256:{'0' * 64}"
    asked: list[dict[str, Any]] = []

    def get(request: dict[str, Any]) -> Any:
        asked.append(request)
        return answer

    side = a_side("north", lambda told: told["clients"][0].update(image=own), batch_get_image=get)
    assert [cause in each.cause for each in problems(data.image(side)) if cause] == (
        [] if cause is None else [True]
    )
    assert asked[0]["registryId"] == "222222222222"
    assert asked[0]["imageIds"] == [{"imageDigest": f"sha256:{'0' * 64}"}]


def test_the_checksum_of_an_upload_in_parts_is_that_of_the_parts_checksums(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 2 + b"the rest"
    file = tmp_path / "bundle"
    file.write_bytes(content)
    parts = [content[:1048576], content[1048576:2097152], content[2097152:]]
    whole = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts))
    assert of_parts(file, 3) == b64encode(whole.digest()).decode()
    assert of_parts(file, 1000) is None


def test_the_docs_list_every_check_and_every_exit_code_has_its_entry() -> None:
    page = (ROOT / "docs" / "preflight.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w*) ?\| (\w*) ?\|", page, flags=re.MULTILINE)
    assert [name for name, server, _ in rows if server == "x"] == [check.name for check in SERVER]
    assert {name for name, _, client in rows if client == "x"} == {check.name for check in CLIENT}
    assert [name for name, server, _ in rows if server == "notebook"] == [check.name for check in ON_NOTEBOOK]
    entries = re.findall(
        r"^## (\d+) (\w+)$", (ROOT / "docs" / "troubleshooting.md").read_text(), flags=re.MULTILINE
    )
    assert entries == [(str(int(code)), code.name) for code in ExitCode if code is not ExitCode.OK]


def test_a_caller_is_known_by_what_aws_says() -> None:
    said = answered("Mon, 30 Nov 2026 09:00:00 GMT", Account="1", Arn="arn:x")
    assert who(session(said), "eu-west-1", lambda: NINE) == Caller("1", "arn:x", 0.0)


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        ({}, None),
        ({"day": {"S": "2000-01-01"}, "starts": {"N": "24"}, "holder": {"S": "run-1"}}, None),
        ({"day": {"S": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"}, "starts": {"N": "2"}}, "2 runs started today"),
        (refusal("ResourceNotFoundException"), "is not there"),
    ],
)
def test_only_today_s_runs_count(item: Any, cause: str | None) -> None:
    name = "cms-client-north-222222222222-eu-west-1"
    made = stack(name)
    made.template = {"Resources": {"RunLock": {"Type": "AWS::DynamoDB::Table"}}}
    made._there["RunLock"] = "lock"
    side = a_side(
        "north",
        lambda told: told["clients"][0].update(max_runs_per_day=2),
        stacks={name: made},
        get_item=item if isinstance(item, Exception) else {"Item": item},
    )
    found = [each.cause for each in problems(consent.run_lock(side))]
    assert [str(cause) in each for each in found] == ([] if cause is None else [True])
