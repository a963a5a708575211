"""One emulated client account with the broker in it, on moto alone."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_aws_sdk

from cdk_app.constructs.broker.broker_states import AdmittedBundle, definition
from cdk_app.constructs.broker.lock_states import RunLock
from cdk_app.constructs.broker.window import Window
from cdk_app.constructs.job.job import JobRequest
from rehearsal.aws.moto_fixes import mend_state_machines
from runtime.contract import PrivacyOption

REGION, SWITCH = "eu-west-1", "/fedstack/cms/north/participation"
PREFIX, JOB = "cms-north--", "cms-north--run-1"
CODE = b"the reviewed code"
DIGEST = hashlib.sha256(CODE).digest()
REQUEST = JobRequest(
    image="image:1",
    role_arn="arn:aws:iam::123456789012:role/execution",
    client_name="north",
    data_uri="s3://data/train/",
    artifact_uri="s3://artifacts/models/",
    code_uri="s3://code-bucket/bundles/x.tar.gz",
    bundle=f"sha256:{DIGEST.hex()}",
    mailbox_uri="s3://mailbox/cms",
    privacy={
        PrivacyOption.UPDATES: "sums",
        PrivacyOption.SIGNING_KEY: "arn:aws:kms:eu-west-1:123456789012:key/2",
        f"{PrivacyOption.COHORT}-1": "south=MFkw+/8==",
        PrivacyOption.LEDGER: "s3://artifacts/privacy",
    },
    key_arn="arn:aws:kms:eu-west-1:123456789012:key/1",
    subnet_ids=["subnet-1", "subnet-2"],
    group_id="sg-1",
    instance_type="ml.m5.xlarge",
    volume_gb=30,
    max_runtime_seconds=3600,
    spot=False,
    region=REGION,
    tags={"federation": "cms"},
)
BUNDLE = AdmittedBundle(
    published_bucket="assets-bucket",
    published_key="published.tar.gz",
    code_bucket="code-bucket",
    code_key="bundles/x.tar.gz",
    sha256_base64=base64.b64encode(DIGEST).decode(),
)
LOCK = RunLock(
    table="run-lock",
    client="north",
    runs_per_day=3,
    execution_prefix=f"arn:aws:states:{REGION}:123456789012:execution:broker:",
)
GOOD = {"run_id": "run-1", "server_address": "10.0.0.5:9092", "server_fingerprint": "sha256:" + "0a" * 32}


def broker_states(
    request: JobRequest = REQUEST, run_lock: RunLock = LOCK, window: Window | None = None
) -> dict[str, Any]:
    return definition(
        request=request, bundle=BUNDLE, run_lock=run_lock, switch=SWITCH, job_prefix=PREFIX, window=window
    )


def quick(states: dict[str, Any], attempts: int = 1) -> dict[str, Any]:
    """Return a definition that waits for nothing, and tries again at once, so many times at most."""
    states = json.loads(json.dumps(states))
    for state in states["States"].values():
        if "Seconds" in state:
            state["Seconds"] = 0
        for again in state.get("Retry", []):
            attempts_here = min(attempts, again["MaxAttempts"])
            again |= {"IntervalSeconds": 1, "BackoffRate": 1.0, "MaxAttempts": attempts_here}
    return states


class Account:
    """One emulated client account with the broker in it."""

    def __init__(self) -> None:
        s3 = boto3.client("s3", REGION)
        for bucket in ("assets-bucket", "code-bucket"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.publish(CODE)
        self.participate("on")
        boto3.client("dynamodb", REGION).create_table(
            TableName=LOCK.table,
            KeySchema=[{"AttributeName": "client", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "client", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.steps = boto3.client("stepfunctions", REGION)
        self.machine = self.deploy("broker", quick(broker_states()))

    def deploy(self, name: str, states: dict[str, Any]) -> str:
        """Make a state machine, or put another definition into it."""
        arn: str = self.steps.create_state_machine(
            name=name, definition=json.dumps(states), roleArn="arn:aws:iam::123456789012:role/broker"
        )["stateMachineArn"]
        return arn

    def publish(self, code: bytes) -> None:
        boto3.client("s3", REGION).put_object(Bucket="assets-bucket", Key="published.tar.gz", Body=code)

    def participate(self, value: str) -> None:
        boto3.client("ssm", REGION).put_parameter(Name=SWITCH, Value=value, Type="String", Overwrite=True)

    def invite(self, invitation: Any, name: str | None = None) -> str:
        if name is None:
            name = invitation.get("run_id", "run-1") if isinstance(invitation, dict) else "run-1"
        arn: str = self.steps.start_execution(
            stateMachineArn=self.machine, name=name, input=json.dumps(invitation)
        )["executionArn"]
        return arn

    def start(self, invitation: Any, name: str | None = None) -> dict[str, Any]:
        return self.end(self.invite(invitation, name))

    def end(self, execution: str) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            state = self.steps.describe_execution(executionArn=execution)
            if state["status"] != "RUNNING":
                return dict(state)
            time.sleep(0.02)
        raise AssertionError("the broker did not end")

    def status(self, execution: str) -> str:
        return str(self.steps.describe_execution(executionArn=execution)["status"])

    def hold(self, holder: str, day: str = "2026-01-01", starts: int = 1) -> None:
        """Give the lock to a run."""
        item = {"holder": {"S": holder}, "day": {"S": day}, "starts": {"N": str(starts)}}
        item["client"] = {"S": "north"}
        boto3.client("dynamodb", REGION).put_item(TableName=LOCK.table, Item=item)

    @property
    def lock(self) -> dict[str, Any]:
        found = boto3.client("dynamodb", REGION).get_item(
            TableName=LOCK.table, Key={"client": {"S": "north"}}
        )
        return dict(found.get("Item", {}))

    @property
    def holder(self) -> str:
        return str(self.lock.get("holder", {}).get("S", ""))

    @property
    def jobs(self) -> list[str]:
        found = boto3.client("sagemaker", REGION).list_training_jobs()["TrainingJobSummaries"]
        return [job["TrainingJobName"] for job in found]


def described(calls: list[str], answers: list[str]) -> Any:
    """A SageMaker whose job is first not there, then in each of these states."""

    def describe(self: Any, training_job_name: str) -> Any:
        calls.append(training_job_name)
        now = answers.pop(0) if len(answers) > 1 else answers[0]
        if now == "absent":
            raise ValidationError(message="Requested resource not found.")
        return {"TrainingJobName": training_job_name, "TrainingJobStatus": now}

    return describe


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    lock, name = threading.Lock(), "boto_client_for"
    client_for = getattr(state_task_service_aws_sdk, name)

    def one_at_a_time(**options: Any) -> Any:
        """Make moto's clients: boto3's default session, of which it makes them, is for one thread."""
        with lock:
            return client_for(**options)

    describe = SageMakerModelBackend.describe_training_job

    def in_aws_s_words(self: SageMakerModelBackend, training_job_name: str) -> Any:
        try:
            return describe(self, training_job_name)
        except ValidationError:
            raise ValidationError(message="Requested resource not found.") from None

    monkeypatch.setattr(state_task_service_aws_sdk, name, one_at_a_time)
    monkeypatch.setattr(SageMakerModelBackend, "describe_training_job", in_aws_s_words)
    mend_state_machines()
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield Account()
