"""Stacks as they change: a client more, a client less, a template or a peering that cannot be."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cdk_app.naming import execution_role_arn
from end_to_end.package_owner import owner_of
from rehearsal.data import Silos
from rehearsal.journey import Journey
from rehearsal.residue import residue
from runtime.contract import INSTALLED_FILE, FedstackError
from runtime.server.installed import stale

pytestmark = pytest.mark.timeout(900)


def events(journey: Journey, account: str, region: str, stack: str) -> int:
    cloudformation = journey.aws.client(journey.aws.administrator(account), region, "cloudformation")
    return len(cloudformation.describe_stack_events(StackName=stack)["StackEvents"])


def test_a_third_client_comes_and_goes_and_nobody_else_s_stack_changes(
    journey: Journey,
    three: Journey,
    account_silos: Silos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The third is deployed, changed and removed with the AWS command line alone, as its package says."""
    old, new = journey.deployment, three.deployment
    script = deployed_script(journey)
    (tmp_path / INSTALLED_FILE).write_text(re.findall(r'^\{"notebook": .*\}$', script, re.MULTILINE)[0])
    on_the_notebook(journey, monkeypatch)
    assert stale(tmp_path) == []
    third = three.federation.clients[2]
    names = new.clients[third.name]
    for name in ("silo-0", "silo-1"):
        template = f"{old.clients[name].stack}.template.json"
        assert (old.assembly / template).read_bytes() == (new.assembly / template).read_bytes()
    before = {n: events(journey, n.account, n.region, n.stack) for n in old.clients.values()}

    new.bootstrap_account(names.account, names.region)
    new.deploy_server()  # an update: one accepter role and one kickoff role more, a new roster
    assert [line.partition(":")[0] for line in stale(tmp_path)] == ["roster"]
    owner = owner_of(three)
    new.deploy_client(third)
    owner.follow("Bring the data", DATA=str(account_silos.file(third.name)))
    for heading in ("Off", "On again"):
        owner.follow(heading)
    data = new.resource(names, "StorageData", "AWS::S3::Bucket")
    keys = [found["Key"] for found in new.owner(names, "s3").list_objects_v2(Bucket=data)["Contents"]]
    assert keys == [f"train/{account_silos.file(third.name).name}"]
    new.deploy_peers([third])
    for client in three.federation.clients[:2]:
        new.deploy_client(client)  # `cdk deploy` of an unchanged stack does nothing
    assert {n: events(journey, n.account, n.region, n.stack) for n in old.clients.values()} == before
    assert new.peering(third.name).startswith("pcx-")

    kept = three.kept(names)
    new.destroy_peers([third])
    new.destroy_client(names)
    old.deploy_server()
    buckets = [bucket["Name"] for bucket in new.owner(names, "s3").list_buckets()["Buckets"]]
    left = {name for kind in residue(lambda service: new.owner(names, service)).values() for name in kind}
    assert left == kept
    assert not [bucket for bucket in buckets if bucket.startswith("cdk-")], "nobody bootstrapped this account"
    assert sorted(owner.executed) == sorted(owner.readme.all), "every command of its README was executed"


def deployed_script(journey: Journey) -> str:
    server = journey.deployment.server
    sagemaker = journey.deployment.owner(server, "sagemaker")
    found = sagemaker.describe_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=server.notebook
    )
    return base64.b64decode(found["OnStart"][0]["Content"]).decode()


def on_the_notebook(journey: Journey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process have what a process on the server's notebook has: its role, and nothing more."""
    server = journey.deployment.server
    keys = journey.deployment.notebook(server)
    for name, value in journey.aws.environment(keys, server.region).items():
        monkeypatch.setenv(name, value)


def test_a_stack_with_a_type_that_nobody_knows_fails_and_leaves_nothing(journey: Journey) -> None:
    names = journey.deployment.clients["silo-0"]
    cloudformation = journey.deployment.owner(names, "cloudformation")
    template = {
        "Resources": {
            "Known": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "left-over"}},
            "Unknown": {"Type": "AWS::Quantum::Computer", "DependsOn": "Known"},
        }
    }
    cloudformation.create_stack(StackName="unknown", TemplateBody=json.dumps(template))
    found = cloudformation.describe_stacks(StackName="unknown")["Stacks"][0]
    assert found["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "AWS::Quantum::Computer" in found["StackStatusReason"]
    topics = journey.deployment.owner(names, "sns").list_topics()["Topics"]
    assert not [topic for topic in topics if topic["TopicArn"].endswith(":left-over")]
    cloudformation.delete_stack(StackName="unknown")


@pytest.mark.parametrize(
    ("role", "deployer", "why"),
    [
        ("org/org-FL-accept-peering-nobody", "administrator", "does not exist"),
        ("org-FL-accept-peering-rehearsal-silo-0", "execution role", "does not exist"),
        ("org/org-FL-server-notebook-rehearsal", "administrator", "sts:AssumeRole"),
        # Its own account's administrator, past the role that deploys its stack.
        ("org/org-FL-accept-peering-rehearsal-silo-0", "administrator", "sts:AssumeRole"),
        ("org/org-FL-accept-peering-rehearsal-silo-1", "execution role", "sts:AssumeRole"),
        # A second VPC, by the very role that had the first accepted.
        ("org/org-FL-accept-peering-rehearsal-silo-0", "execution role", "ec2:AcceptVpcPeeringConnection"),
    ],
)
def test_a_peering_is_accepted_for_the_deployer_of_a_client_s_stack_alone_and_once(
    journey: Journey, role: str, deployer: str, why: str
) -> None:
    server, client = journey.deployment.server, journey.deployment.clients["silo-0"]
    service_role = execution_role_arn(client.account, client.region, "clinic")
    template: dict[str, Any] = {
        "Resources": {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.99.0.0/24"}},
            "Peering": {
                "Type": "AWS::EC2::VPCPeeringConnection",
                "Properties": {
                    "VpcId": {"Ref": "Vpc"},
                    "PeerOwnerId": server.account,
                    "PeerRegion": server.region,
                    "PeerVpcId": journey.deployment.output(server, "VpcId"),
                    "PeerRoleArn": f"arn:aws:iam::{server.account}:role/{role}",
                },
            },
        }
    }
    cloudformation = journey.deployment.owner(client, "cloudformation")
    cloudformation.create_stack(
        StackName="peering",
        TemplateBody=json.dumps(template),
        **({"RoleARN": service_role} if deployer == "execution role" else {}),
    )
    found = cloudformation.describe_stacks(StackName="peering")["Stacks"][0]
    cloudformation.delete_stack(StackName="peering")
    assert found["StackStatus"] == "ROLLBACK_COMPLETE"
    assert why in found["StackStatusReason"]


def test_a_stack_whose_exports_are_used_cannot_be_deleted(journey: Journey) -> None:
    server = journey.deployment.server
    cloudformation = journey.deployment.owner(server, "cloudformation")
    used = pytest.raises(ClientError, match="in use by rehearsal-server-peer-silo-")
    with lifted(cloudformation, server.stack), used:
        cloudformation.delete_stack(StackName=server.stack)
    assert cloudformation.describe_stacks(StackName=server.stack)["Stacks"][0]["StackStatus"].endswith(
        "_COMPLETE"
    )


@contextmanager
def lifted(cloudformation: Any, stack: str) -> Iterator[None]:
    """Without termination protection, for the time of the block."""
    cloudformation.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
    yield
    cloudformation.update_termination_protection(StackName=stack, EnableTerminationProtection=True)


@pytest.mark.parametrize("name", ["server", "silo-0"])
def test_a_stack_that_holds_something_is_not_deleted_before_its_protection_is_lifted(
    journey: Journey, name: str
) -> None:
    names = journey.deployment.server if name == "server" else journey.deployment.clients[name]
    cloudformation = journey.deployment.owner(names, "cloudformation")
    with pytest.raises(ClientError, match="cannot be deleted while TerminationProtection is enabled"):
        cloudformation.delete_stack(StackName=names.stack)
    with pytest.raises(FedstackError, match="TerminationProtection"):
        journey.deployment._cdk(names, "destroy", "--force", "--exclusively", names.stack)
    assert journey.deployment.exists(names, names.stack)
