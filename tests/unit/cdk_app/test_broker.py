"""The broker's state machine, run: what it starts, and everything that it refuses."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import boto3
import cfnlint.api
import pytest
from broker_account import (
    CODE,
    DIGEST,
    GOOD,
    JOB,
    LOCK,
    PREFIX,
    REGION,
    REQUEST,
    SWITCH,
    Account,
    broker_states,
)

from cdk_app.config.models import PrivacyPolicy
from cdk_app.config.privacy import job_options, node_options
from cdk_app.constructs.broker.stopper_states import stopping
from cdk_app.constructs.broker.sweeper_states import sweeping
from runtime.contract import INVITATION_PATTERNS, JobOption, PrivacyOption


def validate(states: dict[str, Any]) -> list[str]:
    """Return what cfn-lint finds wrong with a state machine."""
    template = {
        "Resources": {
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/broker",
                    "DefinitionString": json.dumps(states),
                },
            }
        }
    }
    return [str(match) for match in cfnlint.api.lint(json.dumps(template), regions=[REGION])]


def test_a_good_invitation_starts_the_pinned_job_and_watches_it(account: Account) -> None:
    assert account.start(GOOD)["status"] == "SUCCEEDED"
    job = boto3.client("sagemaker", REGION).describe_training_job(TrainingJobName=JOB)
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
    request = dataclasses.replace(REQUEST, privacy={**REQUEST.privacy, **pinned}, link_host="vpce-1.example")
    start = broker_states(request)["States"]["StartJob"]
    given = set(start["Arguments"]["HyperParameters"])
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
    GOOD | {"server_fingerprint": "sha256:" + "0a" * 31},
    GOOD | {"server_fingerprint": "sha256:" + "0a" * 33},
    GOOD | {"server_fingerprint": GOOD["server_fingerprint"] + "\n"},
    GOOD | {"server_address": "a" * 254 + ":9092"},
    GOOD | {"server_address": "10.0.0.5:9092\n"},
    GOOD | {"server_address": "\n10.0.0.5:9092"},
    GOOD | {"server_address": "10.0.0.5:9092\u2028"},
    GOOD | {"server_address": "10.0.0.5:99:9092"},
    GOOD | {"server_address": '" & $states.input & "'},
    GOOD | {"server_address": "{% 'a:9092' %}"},
    GOOD | {"server_address": ["10.0.0.5:9092"]},
    GOOD | {"server_address": {"x": "10.0.0.5:9092"}},
    [GOOD],
    [GOOD, GOOD],
    "run-1",
    None,
]
BAD_RUN_IDS = ["run-", "run--1", "1", "run-A", "run-a_b", "run-1.2", "run-" + "a" * 15, "run-1\n"]


@pytest.mark.parametrize("invitation", BAD)
def test_any_other_invitation_is_refused_and_starts_nothing(account: Account, invitation: Any) -> None:
    ended = account.start(invitation, name="run-1")
    assert (ended["status"], ended["error"]) == ("FAILED", "BadInvitation")
    assert account.jobs == []


@pytest.mark.parametrize("run_id", BAD_RUN_IDS)
def test_a_run_id_of_another_form_is_refused(account: Account, run_id: str) -> None:
    ended = account.start(GOOD | {"run_id": run_id}, name=run_id.strip())
    assert (ended["error"], account.jobs) == ("BadInvitation", [])


def test_a_run_id_that_is_not_the_execution_s_name_is_refused(account: Account) -> None:
    assert account.start(GOOD, name="run-2")["error"] == "BadInvitation"


def test_another_attempt_at_a_run_has_a_job_of_its_own_name(account: Account) -> None:
    assert account.start(GOOD, name="run-1-2")["status"] == "SUCCEEDED"
    assert account.jobs == ["cms-north--run-1-2"]


@pytest.mark.parametrize("name", ["run-1-1", "run-1-10", "run-1-2-3", "run-1--2", "run-2-2"])
def test_an_execution_of_any_other_name_is_refused(account: Account, name: str) -> None:
    assert (account.start(GOOD, name=name)["error"], account.jobs) == ("BadInvitation", [])


def test_the_state_machine_s_patterns_are_the_contract_s_own() -> None:
    [rule] = broker_states()["States"]["InvitationWellFormed"]["Choices"]
    for pattern in INVITATION_PATTERNS.values():
        assert f"/{pattern.removesuffix('$')}(?!" in rule["Condition"]


def test_all_state_machines_are_valid_in_the_eyes_of_an_independent_validator() -> None:
    for states in (broker_states(), stopping(PREFIX), sweeping(PREFIX, LOCK.execution_prefix)):
        assert validate(states) == []
    broken = broker_states()
    broken["States"]["StartJob"]["Parameters"] = {}  # JSONPath's word
    broken["States"]["Wait"].pop("Next")
    assert len(validate(broken)) >= 2


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
    states = broker_states()["States"]
    first, again = states["StartJob"]["Retry"]
    assert (first["ErrorEquals"], first["MaxAttempts"]) == (["SageMaker.ResourceInUseException"], 0)
    assert (again["ErrorEquals"], again["JitterStrategy"]) == (["States.TaskFailed"], "FULL")
    [caught] = states["StartJob"]["Catch"]
    assert (caught["ErrorEquals"], caught["Next"]) == (["SageMaker.ResourceInUseException"], "Wait")


def test_a_job_that_ran_out_of_its_time_is_told_from_one_that_was_stopped() -> None:
    states = broker_states()["States"]
    rules = {choice["Next"]: choice for choice in states["JobEnded"]["Choices"]}
    assert "MaxRuntimeExceeded" in states["DescribeJob"]["Output"]["out_of_time"]
    assert "out_of_time" in rules["JobOutOfTime"]["Condition"]
    assert list(rules).index("JobOutOfTime") < list(rules).index("JobStopped")
    assert "max_runtime_minutes" in states["JobOutOfTime"]["Cause"]


def test_participation_switched_off_stops_the_running_job() -> None:
    states = broker_states()["States"]
    assert states["Wait"]["Next"] == "ReadParticipationAgain"
    assert states["ReadParticipationAgain"]["Arguments"] == {"Name": SWITCH}
    assert states["StillParticipating"]["Default"] == "WithdrawJob"
    withdraw = states["WithdrawJob"]
    assert withdraw["Resource"].endswith(":sagemaker:stopTrainingJob")
    name = "{% 'cms-north--' & $states.context.Execution.Name %}"
    assert withdraw["Arguments"] == {"TrainingJobName": name}
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
