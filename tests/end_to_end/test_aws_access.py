"""What the server may and may not do in a client's account, each tried with a real call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cdk_app.naming import ClientNames
from rehearsal.journey import Journey

pytestmark = pytest.mark.timeout(900)

STRANGER = "999999999999"
REFUSED = {"AccessDenied", "AccessDeniedException"}


@pytest.fixture(scope="session")
def client(journey: Journey) -> ClientNames:
    return journey.deployment.clients["silo-0"]


@pytest.fixture(scope="session")
def kickoff(journey: Journey, client: ClientNames) -> Callable[[str], Any]:
    """Return how the server gets clients of a service in the client's account: with its kickoff role."""
    return functools.partial(journey.as_server, client)


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(ClientError) as raised:
        call()
    assert raised.value.response["Error"]["Code"] in REFUSED


def test_the_server_reads_the_mailbox_and_misses_what_is_not_there(
    kickoff: Callable[[str], Any], client: ClientNames
) -> None:
    s3 = kickoff("s3")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=client.mailbox, Key=f"{client.federation}/run-none/silo-0/certificate.pem")


def test_the_server_cannot_write_the_mailbox(kickoff: Callable[[str], Any], client: ClientNames) -> None:
    key = f"{client.federation}/run-1/silo-0/certificate.pem"
    refused(lambda: kickoff("s3").put_object(Bucket=client.mailbox, Key=key, Body=b"a forged certificate"))


@pytest.mark.parametrize(
    ("bucket", "key"), [("StorageData", "train/silo-0.csv"), ("StorageCode", "bundles/x.tar.gz")]
)
def test_the_server_cannot_read_data_or_code(
    journey: Journey, kickoff: Callable[[str], Any], client: ClientNames, bucket: str, key: str
) -> None:
    name = journey.bucket(client, bucket)
    refused(lambda: kickoff("s3").get_object(Bucket=name, Key=key))
    refused(lambda: kickoff("s3").list_objects_v2(Bucket=name))


def test_the_server_cannot_create_a_job_past_the_broker(
    journey: Journey, kickoff: Callable[[str], Any], client: ClientNames
) -> None:
    role = journey.deployment.resource(client, "JobExecutionRole", "AWS::IAM::Role")
    job = {
        "TrainingJobName": f"{client.job_prefix}run-evil",
        "AlgorithmSpecification": {
            "TrainingImage": f"{client.account}.dkr.ecr.eu-west-1.amazonaws.com/x:1",
            "TrainingInputMode": "File",
        },
        "RoleArn": f"arn:aws:iam::{client.account}:role/{role}",
        "OutputDataConfig": {"S3OutputPath": "s3://somewhere/else"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    refused(lambda: kickoff("sagemaker").create_training_job(**job))


@pytest.mark.parametrize("who", ["notebook", "kickoff"])
def test_the_server_cannot_take_the_execution_role(journey: Journey, client: ClientNames, who: str) -> None:
    role = journey.deployment.resource(client, "JobExecutionRole", "AWS::IAM::Role")
    keys = journey.deployment.notebook(journey.deployment.server)
    if who == "kickoff":
        keys = journey.aws.assume(keys, client.kickoff_role_arn, ExternalId=client.external_id)
    refused(lambda: journey.aws.assume(keys, f"arn:aws:iam::{client.account}:role/{role}"))


def test_the_server_cannot_switch_participation(kickoff: Callable[[str], Any], client: ClientNames) -> None:
    ssm = kickoff("ssm")
    refused(lambda: ssm.put_parameter(Name=client.participation, Value="on", Overwrite=True))


@pytest.mark.parametrize("external_id", [{}, {"ExternalId": "another"}], ids=["none", "wrong"])
def test_the_kickoff_role_needs_its_external_id(
    journey: Journey, client: ClientNames, external_id: dict[str, str]
) -> None:
    server = journey.deployment.notebook(journey.deployment.server)
    refused(lambda: journey.aws.assume(server, client.kickoff_role_arn, **external_id))


def test_a_stranger_cannot_take_the_kickoff_role(journey: Journey, client: ClientNames) -> None:
    """Nor can an administrator of the server's account: the trust names the notebook's role alone."""
    for account in (STRANGER, journey.deployment.server.account):
        keys, role = journey.aws.administrator(account), client.kickoff_role_arn
        refused(functools.partial(journey.aws.assume, keys, role, ExternalId=client.external_id))


def test_a_client_s_administrator_cannot_forge_a_certificate(journey: Journey, client: ClientNames) -> None:
    s3 = journey.deployment.owner(client, "s3")
    refused(lambda: s3.put_object(Bucket=client.mailbox, Key=f"{client.federation}/run-1/x", Body=b"x"))


def test_a_direct_client_s_job_is_held_to_its_limits(journey: Journey) -> None:
    """With `direct` the server creates the job itself, but not on a larger machine."""
    import json

    direct = journey.deployment.clients["silo-1"]
    server = journey.deployment.notebook(journey.deployment.server)
    keys = journey.aws.assume(server, direct.kickoff_role_arn, ExternalId=direct.external_id)
    request = json.loads(
        journey.aws.client(keys, direct.region, "ssm").get_parameter(Name=direct.job_parameter)["Parameter"][
            "Value"
        ]
    )
    request["ResourceConfig"]["InstanceType"] = "ml.p4d.24xlarge"
    sagemaker = journey.aws.client(keys, direct.region, "sagemaker")
    refused(lambda: sagemaker.create_training_job(TrainingJobName=f"{direct.job_prefix}run-large", **request))
