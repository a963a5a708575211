"""Signing keys in the accounts: who may sign, tried with real calls, and how owners exchange them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cdk_app.naming import ClientNames
from rehearsal.journey import Journey
from runtime.client.signing_key import is_signed

pytestmark = pytest.mark.timeout(900)

STATEMENT = b"this is my key in this run"
HOW = {"MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
DIGEST = {"Message": hashlib.sha256(STATEMENT).digest(), **HOW}
REFUSED = {"AccessDenied", "AccessDeniedException"}


@pytest.fixture(scope="session")
def member(summed: Journey) -> ClientNames:
    return summed.deployment.clients["silo-0"]


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


@pytest.fixture(scope="session")
def as_job(summed: Journey, member: ClientNames) -> Any:
    """Return KMS as the execution role of the member's jobs has it: its trust is opened for a moment.

    Only SageMaker may take that role, so the account's administrator names itself beside it, as it could on
    AWS; that its policies are not touched is what the tests below are about.
    """
    iam = summed.deployment.owner(member, "iam")
    name = summed.deployment.resource(member, "JobExecutionRole", "AWS::IAM::Role")
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    opened = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": member.account}}
    wider = {**trust, "Statement": [*trust["Statement"], opened]}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(wider))
    arn = f"arn:aws:iam::{member.account}:role/{name}"
    keys = summed.aws.assume(summed.aws.administrator(member.account), arn)
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    return summed.aws.client(keys, member.region, "kms")


def test_the_job_s_role_signs_and_the_public_half_that_its_owner_tells_proves_it(
    summed: Journey, member: ClientNames, as_job: Any
) -> None:
    arn = summed.deployment.owner(member, "kms").describe_key(KeyId=member.signing_key)["KeyMetadata"]["Arn"]
    public = summed.deployment.public_key("silo-0")
    for name in (arn, arn.rpartition("/")[2], member.signing_key):
        signature = as_job.sign(KeyId=name, **DIGEST)["Signature"]
        assert is_signed(STATEMENT, signature, public)
        assert not is_signed(b"another statement", signature, public)
        assert not is_signed(STATEMENT, signature, summed.deployment.public_key("silo-1"))


def test_the_job_s_role_signs_nothing_but_digests_and_with_nobody_else_s_key(
    summed: Journey, member: ClientNames, as_job: Any
) -> None:
    raw = {**DIGEST, "MessageType": "RAW"}
    assert code_of(lambda: as_job.sign(KeyId=member.signing_key, **raw)) in REFUSED
    short = {**DIGEST, "Message": b"no digest"}
    assert code_of(lambda: as_job.sign(KeyId=member.signing_key, **short)) == "ValidationException"
    other = summed.deployment.clients["silo-1"]
    key = summed.deployment.owner(other, "kms").describe_key(KeyId=other.signing_key)["KeyMetadata"]["Arn"]
    assert code_of(lambda: as_job.sign(KeyId=key, **DIGEST)) in REFUSED


def test_an_administrator_of_the_account_cannot_sign(summed: Journey, member: ClientNames) -> None:
    kms = summed.deployment.owner(member, "kms")
    assert code_of(lambda: kms.sign(KeyId=member.signing_key, **DIGEST)) in REFUSED
    assert code_of(lambda: kms.sign(KeyId=member.signing_key, **{**DIGEST, "MessageType": "RAW"})) in REFUSED


def test_the_server_can_neither_sign_nor_read_the_key(summed: Journey, member: ClientNames) -> None:
    arn = summed.deployment.owner(member, "kms").describe_key(KeyId=member.signing_key)["KeyMetadata"]["Arn"]
    notebook = summed.deployment.notebook(summed.deployment.server)
    kickoff = summed.aws.assume(notebook, member.kickoff_role_arn, ExternalId=member.external_id)
    administrator = summed.aws.administrator(summed.deployment.server.account)
    for keys in (notebook, kickoff, administrator):
        kms = summed.aws.client(keys, member.region, "kms")
        assert code_of(lambda kms=kms: kms.sign(KeyId=arn, **DIGEST)) in REFUSED  # type: ignore[misc]
        assert code_of(lambda kms=kms: kms.get_public_key(KeyId=arn)) in REFUSED  # type: ignore[misc]


def pinned(summed: Journey, client: ClientNames) -> dict[str, str]:
    """The job options that a deployed broker pins."""
    states = summed.deployment.owner(client, "stepfunctions")
    machine = json.loads(states.describe_state_machine(stateMachineArn=client.broker_arn)["definition"])
    options: dict[str, str] = machine["States"]["StartJob"]["Arguments"]["HyperParameters"]
    return options


def test_every_job_is_told_the_keys_that_the_other_accounts_have(summed: Journey) -> None:
    keys = {name: summed.deployment.public_key(name) for name in summed.deployment.clients}
    assert len(set(keys.values())) == 3
    for name, client in summed.deployment.clients.items():
        options = pinned(summed, client)
        others = [f"{other}={key}" for other, key in keys.items() if other != name]
        assert [options[f"privacy-cohort-{number}"] for number in (1, 2)] == others
        assert options["privacy-signing-key"].startswith(f"arn:aws:kms:{client.region}:{client.account}:key/")


def test_deploying_a_client_again_keeps_the_keys_that_it_was_told(
    summed: Journey, member: ClientNames
) -> None:
    client = summed.federation.clients[0]
    summed.deployment.deploy_client(client)  # another test may have deployed another bundle
    told = pinned(summed, member)
    stack, before = member.stack, summed.deployment.owner(member, "cloudformation")
    events = len(before.describe_stack_events(StackName=stack)["StackEvents"])
    summed.deployment.deploy_client(client)
    assert len(before.describe_stack_events(StackName=stack)["StackEvents"]) == events
    key = summed.deployment.public_key("silo-1")
    summed.deployment.deploy_client(client, "--parameters", f"{stack}:SigningKeySilo1=")
    assert pinned(summed, member)["privacy-cohort-1"] == "silo-1="
    summed.deployment.deploy_client(client, "--parameters", f"{stack}:SigningKeySilo1={key}")
    assert pinned(summed, member) == told


def test_a_parameter_that_is_no_key_is_refused(summed: Journey, member: ClientNames) -> None:
    cloudformation = summed.deployment.owner(member, "cloudformation")
    parameters = [
        {"ParameterKey": "SigningKeySilo1", "ParameterValue": "bWFkZSB1cA=="},
        *({"ParameterKey": name, "UsePreviousValue": True} for name in ("ServerVpcId", "SigningKeySilo2")),
    ]
    asked = {"StackName": member.stack, "UsePreviousTemplate": True, "Parameters": parameters}
    with pytest.raises(ClientError, match="SigningKeySilo1 failed to satisfy constraint"):
        cloudformation.update_stack(**asked)
