"""The broker's state machine, run: what it starts, and everything that it refuses."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.responses import EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from cdk_app.config.models import PrivacyPolicy
from cdk_app.config.privacy import job_options, node_options
from cdk_app.constructs.broker.broker_states import AdmittedBundle, definition
from cdk_app.constructs.broker.stopper_states import PATIENTLY, stopping
from cdk_app.constructs.job.job import JobRequest
from rehearsal.aws.moto_fixes import name_services_in_errors
from runtime.contract import JobOption, PrivacyOption

REGION, SWITCH = "eu-west-1", "/fedstack/cms/north/participation"
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
GOOD = {"run_id": "run-1", "server_address": "10.0.0.5:9092", "server_fingerprint": "sha256:" + "0a" * 32}


class Account:
    """One emulated client account with the broker in it."""

    def __init__(self) -> None:
        s3 = boto3.client("s3", REGION)
        for bucket in ("assets-bucket", "code-bucket"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.publish(CODE)
        self.participate("on")
        states = definition(request=REQUEST, bundle=BUNDLE, switch=SWITCH, job_prefix="cms-")
        states["States"]["Wait"]["Seconds"] = 0
        self.steps = boto3.client("stepfunctions", REGION)
        self.machine = self.steps.create_state_machine(
            name="broker", definition=json.dumps(states), roleArn="arn:aws:iam::123456789012:role/broker"
        )["stateMachineArn"]

    def publish(self, code: bytes) -> None:
        boto3.client("s3", REGION).put_object(Bucket="assets-bucket", Key="published.tar.gz", Body=code)

    def participate(self, value: str) -> None:
        boto3.client("ssm", REGION).put_parameter(Name=SWITCH, Value=value, Type="String", Overwrite=True)

    def start(self, invitation: Any, name: str | None = None) -> dict[str, Any]:
        if name is None:
            name = invitation.get("run_id", "run-1") if isinstance(invitation, dict) else "run-1"
        execution = self.steps.start_execution(
            stateMachineArn=self.machine, name=name, input=json.dumps(invitation)
        )["executionArn"]
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            state = self.steps.describe_execution(executionArn=execution)
            if state["status"] != "RUNNING":
                return dict(state)
            time.sleep(0.02)
        raise AssertionError("the broker did not end")

    @property
    def jobs(self) -> list[str]:
        found = boto3.client("sagemaker", REGION).list_training_jobs()["TrainingJobSummaries"]
        return [job["TrainingJobName"] for job in found]


@pytest.fixture
def account() -> Iterator[Account]:
    name_services_in_errors()
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield Account()


def test_a_good_invitation_starts_the_pinned_job_and_watches_it(account: Account) -> None:
    assert account.start(GOOD)["status"] == "SUCCEEDED"
    job = boto3.client("sagemaker", REGION).describe_training_job(TrainingJobName="cms-run-1")
    assert job["HyperParameters"] == {
        "sagemaker_program": "client.py",
        "sagemaker_submit_directory": "s3://code-bucket/bundles/x.tar.gz",
        "sagemaker_region": REGION,
        JobOption.CLIENT_NAME: "north",
        JobOption.MAILBOX: "s3://mailbox/cms",
        JobOption.BUNDLE: f"sha256:{DIGEST.hex()}",
        JobOption.RUN_SECONDS: "3600",
        PrivacyOption.UPDATES: "sums",
        PrivacyOption.SIGNING_KEY: "arn:aws:kms:eu-west-1:123456789012:key/2",
        "privacy-cohort-1": "south=MFkw+/8==",
        PrivacyOption.LEDGER: "s3://artifacts/privacy",
        JobOption.RUN_ID: "run-1",
        JobOption.SERVER_ADDRESS: "10.0.0.5:9092",
        JobOption.SERVER_FINGERPRINT: GOOD["server_fingerprint"],
    }
    assert job["AlgorithmSpecification"]["TrainingImage"] == "image:1"
    for key, value in REQUEST.parameters().items():
        if key in ("RoleArn", "InputDataConfig", "ResourceConfig", "VpcConfig"):
            assert job[key] == value


def test_the_job_has_every_option_of_the_contract() -> None:
    policy = PrivacyPolicy(epsilon_budget=4, min_noise_multiplier=1, min_cohort=3)
    pinned = {**job_options(policy), **node_options({"region": "north"})}
    request = dataclasses.replace(REQUEST, privacy={**REQUEST.privacy, **pinned})
    start = definition(request=request, bundle=BUNDLE, switch=SWITCH, job_prefix="cms-")["States"]["StartJob"]
    given = {name.removesuffix(".$") for name in start["Parameters"]["HyperParameters"]}
    assert given - {"sagemaker_program", "sagemaker_submit_directory", "sagemaker_region"} == {
        *JobOption,
        *(option for option in PrivacyOption if option is not PrivacyOption.COHORT),
        "privacy-cohort-1",
    }


@pytest.mark.parametrize("option", [*PrivacyOption, "privacy-cohort-1", "privacy-cohort-3"])
def test_the_server_cannot_change_the_policy(account: Account, option: str) -> None:
    assert account.start(GOOD | {option.replace("-", "_"): "100"})["error"] == "BadInvitation"


def test_the_job_runs_the_code_that_was_copied_into_the_account_s_code_bucket(account: Account) -> None:
    account.start(GOOD)
    copied = boto3.client("s3", REGION).get_object(Bucket="code-bucket", Key="bundles/x.tar.gz")
    assert copied["Body"].read() == CODE


BAD: list[Any] = [
    [],
    {},
    {"run_id": "run-1"},
    GOOD | {"image": "mine"},
    GOOD | {"run_id": 1},
    GOOD | {"server_address": None},
    GOOD | {"server_address": "10.0.0.5:9093"},
    GOOD | {"server_address": "10.0.0.5"},
    GOOD | {"server_address": ":9092"},
    GOOD | {"server_address": "a b:9092"},
    GOOD | {"server_address": "a:b:9092"},
    GOOD | {"server_address": "host$(id):9092"},
    GOOD | {"server_fingerprint": "0a" * 32},
    GOOD | {"server_fingerprint": "sha256:" + "0A" * 32},
    GOOD | {"server_fingerprint": "sha256:" + "zz" * 32},
    GOOD | {"server_fingerprint": "sha256:sh:" + "0a" * 30},
]
BAD_RUN_IDS = ["run-", "run--1", "1", "run-A", "run-a_b", "run-1.2"]


@pytest.mark.parametrize("invitation", BAD)
def test_any_other_invitation_is_refused_and_starts_nothing(account: Account, invitation: Any) -> None:
    ended = account.start(invitation, name="run-1")
    assert (ended["status"], ended["error"]) == ("FAILED", "BadInvitation")
    assert account.jobs == []


@pytest.mark.parametrize("run_id", BAD_RUN_IDS)
def test_a_run_id_of_another_form_is_refused(account: Account, run_id: str) -> None:
    ended = account.start(GOOD | {"run_id": run_id})
    assert (ended["error"], account.jobs) == ("BadInvitation", [])


def test_a_run_id_that_is_not_the_execution_s_name_is_refused(account: Account) -> None:
    assert account.start(GOOD, name="run-2")["error"] == "BadInvitation"


def test_participation_off_refuses_even_a_good_invitation(account: Account) -> None:
    account.participate("off")
    ended = account.start(GOOD)
    assert (ended["error"], account.jobs) == ("ParticipationOff", [])


def test_an_account_that_never_said_so_does_not_take_part(account: Account) -> None:
    boto3.client("ssm", REGION).delete_parameter(Name=SWITCH)
    ended = account.start(GOOD)
    assert (ended["error"], account.jobs) == ("ParticipationOff", [])


def test_a_job_whose_creation_was_answered_to_nobody_is_watched_and_not_made_twice() -> None:
    """Trying again finds the name in use."""
    states = definition(request=REQUEST, bundle=BUNDLE, switch=SWITCH, job_prefix="cms-")["States"]
    first, again = states["StartJob"]["Retry"]
    assert (first["ErrorEquals"], first["MaxAttempts"]) == (["SageMaker.ResourceInUseException"], 0)
    assert (again["ErrorEquals"], again["JitterStrategy"]) == (["States.TaskFailed"], "FULL")
    [caught] = states["StartJob"]["Catch"]
    assert (caught["ErrorEquals"], caught["Next"]) == (["SageMaker.ResourceInUseException"], "Wait")


def test_a_job_that_ran_out_of_its_time_is_told_from_one_that_was_stopped() -> None:
    states = definition(request=REQUEST, bundle=BUNDLE, switch=SWITCH, job_prefix="cms-")["States"]
    rules = {choice["Next"]: choice for choice in states["JobEnded"]["Choices"]}
    of_time = {"Variable": "$.job.SecondaryStatus", "StringEquals": "MaxRuntimeExceeded"}
    assert of_time in rules["JobOutOfTime"]["And"]
    assert list(rules).index("JobOutOfTime") < list(rules).index("JobStopped")
    assert "max_runtime_minutes" in states["JobOutOfTime"]["Cause"]


def test_participation_switched_off_stops_the_running_job() -> None:
    states = definition(request=REQUEST, bundle=BUNDLE, switch=SWITCH, job_prefix="cms-")["States"]
    assert states["Wait"]["Next"] == "ReadParticipationAgain"
    assert states["ReadParticipationAgain"]["Parameters"] == {"Name": SWITCH}
    assert states["StillParticipating"]["Default"] == "WithdrawJob"
    withdraw = states["WithdrawJob"]
    assert withdraw["Resource"].endswith(":sagemaker:stopTrainingJob")
    assert withdraw["Parameters"] == {"TrainingJobName.$": "States.Format('cms-{}', $.invitation.run_id)"}
    assert withdraw["Next"] == "ParticipationOff"


def test_code_that_is_not_the_reviewed_code_is_refused(account: Account) -> None:
    account.publish(b"something else")
    ended = account.start(GOOD)
    assert (ended["error"], account.jobs) == ("BundleChanged", [])


def test_a_watch_as_long_as_the_config_allows_fits_into_an_execution_s_history() -> None:
    from cdk_app.constructs.broker.broker_watch import POLL_SECONDS
    from cdk_app.constructs.job.job import SPOT_PATIENCE_SECONDS

    # Wait and choices enter and exit (2 events), tasks also are scheduled, started and end (5).
    events_per_round = 2 + 5 + 2 + 5 + 2
    longest = 420 * 60 + SPOT_PATIENCE_SECONDS
    assert longest / POLL_SECONDS * events_per_round < 25_000 - 100


def stopper(account: Account) -> Any:
    states = stopping("cms-")
    states["States"]["LookAgain"]["Seconds"] = 0
    quick = {"IntervalSeconds": 1, "BackoffRate": 1.0, "MaxAttempts": 3}
    for name in ("DescribeJob", "StopJob"):
        states["States"][name]["Retry"] = [PATIENTLY[0] | quick]
    return account.steps.create_state_machine(
        name="stopper", definition=json.dumps(states), roleArn="arn:aws:iam::123456789012:role/stopper"
    )["stateMachineArn"]


def stop(account: Account, machine: str, run: str) -> str:
    """Start the stopper as the event does; return its execution."""
    told = json.dumps({"detail": {"name": run, "status": "ABORTED"}})
    arn: str = account.steps.start_execution(stateMachineArn=machine, name=run, input=told)["executionArn"]
    return arn


def ended(account: Account, execution: str) -> str:
    deadline = time.monotonic() + 20
    while (status := account.steps.describe_execution(executionArn=execution)["status"]) == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return str(status)


def described(calls: list[str], answers: list[str]) -> Any:
    """A SageMaker whose job is first not there, then in each of these states."""

    def describe(self: Any, training_job_name: str) -> Any:
        calls.append(training_job_name)
        now = answers.pop(0) if len(answers) > 1 else answers[0]
        if now == "absent":
            raise ValidationError(message="Requested resource not found.")
        return {"TrainingJobName": training_job_name, "TrainingJobStatus": now}

    return describe


def test_the_stopper_waits_for_a_job_in_the_making_and_does_not_rest_before_it_is_over(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    answers = ["absent", "absent", "InProgress", "Stopping", "Stopped"]
    monkeypatch.setattr(SageMakerModelBackend, "describe_training_job", described(calls, answers))
    stops: list[str] = []

    def stop_training_job(self: SageMakerResponse) -> EmptyResult:
        stops.append(self._get_param("TrainingJobName"))
        return EmptyResult()

    monkeypatch.setattr(SageMakerResponse, "stop_training_job", stop_training_job, raising=False)
    execution = stop(account, stopper(account), "run-1")
    assert ended(account, execution) == "SUCCEEDED"
    assert (calls, stops) == (["cms-run-1"] * 5, ["cms-run-1"])
    assert answers == ["Stopped"]


def test_a_refused_invitation_has_no_job_and_the_stopper_says_so(account: Account) -> None:
    assert ended(account, stop(account, stopper(account), "run-2")) == "SUCCEEDED"


def test_a_stop_that_aws_refuses_is_tried_again_for_minutes() -> None:
    states = stopping("cms-")["States"]
    for name in ("DescribeJob", "StopJob"):
        [again] = states[name]["Retry"]
        rate, first, attempts = again["BackoffRate"], again["IntervalSeconds"], again["MaxAttempts"]
        assert sum(first * rate**attempt for attempt in range(attempts)) > 180
    assert states["StopJob"]["Catch"][0]["Next"] == "LookAgain"
