"""Preflight on deployed accounts: all green, and each fault named with its owner; its role only reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import botocore.client
import botocore.session
import pytest
import yaml
from botocore.loaders import create_loader
from typer.testing import CliRunner

import cdk_app.preflight
from cdk_app.preflight.__main__ import cli
from end_to_end import faults
from end_to_end.faults import CLIENT, Fault, client, server
from end_to_end.package_owner import owner_of
from rehearsal.data import Silos
from rehearsal.deployment import at_once
from rehearsal.journey import Journey
from runtime.contract import ExitCode

pytestmark = pytest.mark.timeout(900)

ROLE: Final = "preflight"
POLICY: Final = Path(cdk_app.preflight.__file__).with_name("policy.json")
PREFIXES: Final = {"stepfunctions": "states", "service-quotas": "servicequotas"}
S3_ACTIONS: Final = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
}
"""Where the action that IAM asks for is not named as the call."""


@dataclass
class Engineers:
    """A deployed federation, and in each account a role that has the documented policy and nothing else."""

    journey: Journey
    keys: dict[str, dict[str, str]]

    def look(self, who: str, *more: str, **environment: str | None) -> dict[str, Any]:
        """Run the command as one side's owner, or as the server's notebook; return what it prints as JSON."""
        names = self.journey.deployment.clients.get(who, self.journey.deployment.server)
        notebook = who == "notebook"
        keys = self.journey.deployment.notebook(names) if notebook else self.keys[names.account]
        work = self.journey.deployment.assembly.parent
        side = ("client", who) if who in self.journey.deployment.clients else ("server",)
        files = ("--federation", str(work / "sums.yaml"), "--assembly", str(self.journey.deployment.assembly))
        told = {"AWS_SESSION_TOKEN": None, **self.journey.aws.environment(keys, names.region), **environment}
        result = CliRunner().invoke(cli, ["--json", *files, "--side", *side, *more], env=told)
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        found: dict[str, Any] = json.loads(result.stdout)
        assert found["code"] == result.exit_code
        return found


def failures(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [finding for finding in found["findings"] if finding["status"] == "FAIL"]


@pytest.fixture(scope="module")
def engineers(summed: Journey, account_silos: Silos) -> Iterator[Engineers]:
    """Return the accounts with their data, as their own federation deployed them."""
    deployment = summed.deployment
    changed = [c for c in summed.federation.clients if not faults.is_of(summed, deployment.clients[c.name])]
    if any(deployment.clients[client.name] == owner_of(summed).names for client in changed):
        owner_of(summed).receive(deployment.assembly.parent / "sums.yaml")
    at_once(deployment.deploy_client, changed)
    summed.bring_data(account_silos)
    with pytest.MonkeyPatch.context() as patch:  # every session would read AWS's models anew
        patch.setattr(botocore.session, "create_loader", cache(create_loader))
        yield Engineers(summed, {names.account: _reader(summed, names) for names in summed.places()})
    for names in summed.places():
        iam = deployment.owner(names, "iam")
        iam.delete_role_policy(RoleName=ROLE, PolicyName="look")
        iam.delete_role(RoleName=ROLE)


def _reader(journey: Journey, names: Any) -> dict[str, str]:
    trusted = {"Effect": "Allow", "Principal": {"AWS": names.account}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [trusted]}
    iam = journey.deployment.owner(names, "iam")
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName=ROLE, PolicyName="look", PolicyDocument=POLICY.read_text())
    sts = journey.deployment.owner(names, "sts")
    made = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="engineer")["Credentials"]
    return {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
        "aws_session_token": made["SessionToken"],
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Note every IAM action that this process asks AWS for."""
    actions: set[str] = set()
    call = botocore.client.BaseClient._make_api_call

    def noting(self: Any, operation: str, request: Any) -> Any:
        service = self.meta.service_model.service_name
        name = S3_ACTIONS.get(operation, operation) if service == "s3" else operation
        actions.add(f"{PREFIXES.get(service, service)}:{name}")
        return call(self, operation, request)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noting)
    return actions


def test_everything_is_in_order_and_no_more_is_asked_than_the_documented_policy_allows(
    engineers: Engineers, asked: set[str]
) -> None:
    for who in ("server", "silo-0", "silo-1", "silo-2"):
        found = engineers.look(who)
        assert failures(found) == []
        assert (found["code"], found["exit"]) == (0, "OK")
        elsewhere = [f["check"] for f in found["findings"] if f["status"] == "NOT CHECKED"]
        others = [f"of {name}" for name in engineers.journey.deployment.clients] if who == "server" else []
        # The third was deployed from its package, whose template synth does not give.
        packaged = ["template"] if who == owner_of(engineers.journey).names.client else []
        assert sorted(elsewhere) == sorted(["of server", *others, *packaged])
    given = [statement["Action"] for statement in json.loads(POLICY.read_text())["Statement"]]
    listed = {action for each in given for action in ([each] if isinstance(each, str) else each)}
    of_a_service = ("Connections", "ServiceConfigurations", "ServicePermissions")  # by PrivateLink
    not_in_every_account = {
        "servicequotas:ListAWSDefaultServiceQuotas",
        *(f"ec2:DescribeVpcEndpoint{what}" for what in of_a_service),
    }
    assert asked <= listed
    assert listed - asked <= not_in_every_account
    verbs = tuple(action.partition(":")[2] for action in sorted(listed))
    assert [v for v in verbs if not v.startswith(("BatchGet", "Describe", "Get", "List"))] == ["AssumeRole"]


def test_the_notebook_takes_every_role_and_starts_nothing(engineers: Engineers, asked: set[str]) -> None:
    found = engineers.look("notebook")
    assert failures(found) == []
    seen = {f["check"]: f.get("seen") for f in found["findings"] if f["status"] == "OK"}
    assert seen["kickoff-role"] == "silo-0: taken; silo-1: taken; silo-2: taken"
    assert seen["mailbox"] == "silo-0: readable; silo-1: readable; silo-2: readable"
    assert asked == {"sts:GetCallerIdentity", "sts:AssumeRole", "s3:GetObject", "states:DescribeExecution"}


FAULTS: Final[list[tuple[str, str, str, str, str, Fault]]] = [
    # (fault, who looks, check, owner, what of the cause, how it is made)
    ("switched off", CLIENT, "participation", CLIENT, "is 'off'", faults.participation("off")),
    ("never switched on", CLIENT, "participation", CLIENT, "is missing", faults.participation(None)),
    ("old bootstrap", "server", "bootstrap", "server", "is version 5", faults.old_bootstrap),
    ("client's route", CLIENT, "routes", CLIENT, "has no route to 10.0.0.0/24", faults.lost_route(client)),
    ("server's route", "server", "routes", "server", "no route to 10.0.1.0/24", faults.lost_route(server)),
    ("closed port", "server", "security-groups", "server", "not let tcp 9092 in", faults.closed_port),
    ("open port", CLIENT, "security-groups", CLIENT, "lets tcp 22 in from 0.0.0.0/0", faults.open_port),
    ("network ACL", CLIENT, "network-acls", CLIENT, "in from 10.0.0.0/24", faults.denied_by_acl),
    ("no names", CLIENT, "addresses", CLIENT, "enableDnsSupport", faults.no_names),
    ("open endpoint", CLIENT, "endpoints", CLIENT, "a statement more, (Allow * on *", faults.open_endpoint),
    ("disabled key", CLIENT, "keys", CLIENT, "it is Disabled", faults.disabled_key),
    ("signing for all", CLIENT, "keys", CLIENT, "lacks the statement ('OnlySigner'", faults.anybody_signs),
    (
        "no external id, seen by the server",
        "notebook",
        "kickoff-role",
        CLIENT,
        "lets this server in without an external id",
        faults.trust(faults.without_external_id),
    ),
    (
        "no external id, seen by the client",
        CLIENT,
        "roles",
        CLIENT,
        "of whom it trusts",
        faults.trust(faults.without_external_id),
    ),
    (
        "trust in another server",
        "notebook",
        "kickoff-role",
        CLIENT,
        "cannot be taken",
        faults.trust(faults.of_another_server),
    ),
    (
        "trust in a whole account",
        "server",
        "kickoff-role",
        CLIENT,
        "assumed-role/preflight",
        faults.trust(faults.of_the_whole_account),
    ),
    ("server's policy", "server", "roles", "server", "it lacks its policy", faults.lost_policy),
    ("server's policy, on site", "notebook", "kickoff-role", "server", "own role", faults.lost_policy),
    ("wider job", CLIENT, "roles", CLIENT, "it has a policy more, more", faults.wider_job),
    ("closed mailbox", "notebook", "mailbox", CLIENT, "AccessDenied", faults.closed_mailbox),
    ("public data", CLIENT, "buckets", CLIENT, "BlockPublicPolicy is off", faults.public_data),
    ("no data", CLIENT, "data", CLIENT, "There is no .csv file", faults.moved_data(None)),
    ("empty data", CLIENT, "data", CLIENT, "is empty", faults.moved_data(b"")),
    ("other bundle", CLIENT, "broker", CLIENT, "starts the bundle 000000", faults.other_bundle),
    ("replaced bundle", CLIENT, "bundle", CLIENT, "(14 bytes) is not the bundle", faults.replaced_bundle),
    ("disabled rule", CLIENT, "broker", CLIENT, "it is disabled", faults.disabled_rule),
    ("too many runs", CLIENT, "run-lock", CLIENT, "24 runs started today", faults.used_up),
    ("untold key", CLIENT, "signing-keys", CLIENT, "the signing key of silo-1", faults.untold_key),
    ("rolled back", CLIENT, "stacks", CLIENT, "UPDATE_ROLLBACK_COMPLETE", faults.rolled_back),
    ("no image", CLIENT, "image", CLIENT, "ImageNotFound", faults.no_image),
    (
        "no instances",
        CLIENT,
        "quotas",
        CLIENT,
        "is 0 in eu-west-1; the federation needs 1",
        faults.quota(client, "ml.m5.xlarge for training job usage", 0),
    ),
    (
        "too few peerings",
        "server",
        "quotas",
        "server",
        "is 2 in eu-west-1; the federation needs 3",
        faults.quota(server, "Active VPC peering connections per VPC", 2),
    ),
]


@pytest.mark.parametrize(
    ("who", "check", "owner", "cause", "fault"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_a_fault_is_named_with_its_owner_and_its_cause_and_nobody_else_is_blamed(
    engineers: Engineers, who: str, check: str, owner: str, cause: str, fault: Fault
) -> None:
    with fault(engineers.journey):
        found = engineers.look(who)
    named = failures(found)
    assert {finding["check"] for finding in named} == {check}
    assert {finding["owner"]["name"] for finding in named} == {owner}
    assert any(cause in finding["cause"] for finding in named)
    assert all(finding["fix"] for finding in named)
    whose = ExitCode.PREFLIGHT_SERVER if owner == "server" else ExitCode.PREFLIGHT_CLIENT
    assert found["code"] == whose


def test_credentials_of_another_account_end_it_before_anything_else_is_asked(
    engineers: Engineers, asked: set[str]
) -> None:
    other = engineers.journey.deployment.clients["silo-1"]
    keys = engineers.keys[other.account]
    found = engineers.look(CLIENT, **engineers.journey.aws.environment(keys, "eu-west-1"))
    assert [finding["check"] for finding in failures(found)] == ["identity"]
    assert other.account in failures(found)[0]["cause"]
    assert asked == {"sts:GetCallerIdentity"}


def test_another_default_region_is_named_because_the_docs_commands_would_act_there(
    engineers: Engineers,
) -> None:
    (failure,) = failures(engineers.look(CLIENT, AWS_DEFAULT_REGION="us-east-1"))
    assert (failure["check"], failure["owner"]["name"]) == ("region", CLIENT)


def changed(engineers: Engineers, file: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write the federation file with a change."""
    said = yaml.safe_load((engineers.journey.deployment.assembly.parent / "sums.yaml").read_text())
    change(said)
    file.write_text(yaml.safe_dump(said))
    return file


def test_other_addresses_than_the_files_are_the_owner_s_of_the_network(
    engineers: Engineers, tmp_path: Path
) -> None:
    file = changed(engineers, tmp_path / "f.yaml", lambda said: said["clients"][1].update(cidr="10.9.0.0/24"))
    named = failures(engineers.look("server", "--federation", str(file)))
    (failure,) = (finding for finding in named if finding["check"] == "addresses")
    assert failure["owner"]["name"] == "silo-1"
    assert "10.0.2.0/24" in failure["cause"]
    assert "10.9.0.0/24" in failure["cause"]


def test_a_roster_that_is_not_the_file_s_is_the_server_s(engineers: Engineers, tmp_path: Path) -> None:
    file = changed(engineers, tmp_path / "f.yaml", lambda said: said["clients"][2].update(external_id="new"))
    (failure,) = failures(engineers.look("server", "--federation", str(file)))
    assert (failure["check"], failure["owner"]["name"]) == ("roster", "server")
    assert "silo-2 differs" in failure["cause"]


def test_a_kickoff_endpoint_that_the_server_was_told_wrongly_is_the_server_s(
    engineers: Engineers, tmp_path: Path
) -> None:
    old = "vpce-0123-abc.states.eu-central-1.vpce.amazonaws.com"
    file = changed(engineers, tmp_path / "f.yaml", lambda s: s["clients"][2].update(kickoff_endpoint=old))
    (failure,) = failures(engineers.look("silo-2", "--federation", str(file)))
    assert (failure["check"], failure["owner"]["name"]) == ("endpoints", "server")


def test_a_bundle_of_another_release_is_the_account_s_that_runs_it(
    engineers: Engineers, tmp_path: Path
) -> None:
    manifest = {"client": "1" * 64, "server": "2" * 64}
    (tmp_path / "bundles.json").write_text(json.dumps(manifest))
    (failure,) = failures(engineers.look(CLIENT, "--bundles", str(tmp_path)))
    assert (failure["check"], failure["owner"]["name"]) == ("bundle", CLIENT)
    assert "sha256:111111111111 is built" in failure["cause"]


def test_a_stack_that_is_not_there_is_said_once(engineers: Engineers, tmp_path: Path) -> None:
    file = changed(engineers, tmp_path / "f.yaml", lambda said: said.update(name="another"))
    found = engineers.look(CLIENT, "--federation", str(file))
    assert {f["check"] for f in failures(found)} <= {"stacks", "participation"}
    waiting = [f["reason"] for f in found["findings"] if f["status"] == "NOT CHECKED"]
    assert any("is not deployed" in reason for reason in waiting)
