"""Who ends a job that nobody watches: the stopper after each execution, the sweeper from time to time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from broker_account import (
    JOB,
    PREFIX,
    Account,
    described,
    quick,
)
from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse

from cdk_app.constructs.broker.stopper_states import stopping
from cdk_app.constructs.broker.sweeper_states import sweeping


def stopper(account: Account) -> Any:
    return account.deploy("stopper", quick(stopping(PREFIX), attempts=3))


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


def test_the_stopper_goes_on_while_it_cannot_look(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["throttled"] * 5 + ["InProgress", "Stopped"]
    stops: list[str] = []

    def describe(self: Any, training_job_name: str) -> Any:
        now = answers.pop(0)
        if now == "throttled":
            raise ValidationError(message="Rate exceeded")
        return {"TrainingJobName": training_job_name, "TrainingJobStatus": now}

    def stop_training_job(self: SageMakerResponse) -> EmptyResult:
        stops.append(self._get_param("TrainingJobName"))
        return EmptyResult()

    monkeypatch.setattr(SageMakerModelBackend, "describe_training_job", describe)
    monkeypatch.setattr(SageMakerResponse, "stop_training_job", stop_training_job, raising=False)
    assert ended(account, stop(account, stopper(account), "run-1")) == "SUCCEEDED"
    assert (stops, answers) == ([JOB], [])


def test_the_sweep_stops_the_jobs_that_no_execution_watches_and_no_others(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = account.steps.create_state_machine(
        name="watched",
        definition=json.dumps(
            {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
        ),
        roleArn="arn:aws:iam::123456789012:role/x",
    )["stateMachineArn"]
    alive = account.steps.start_execution(stateMachineArn=watched, name="run-alive")["executionArn"]
    ended = account.steps.start_execution(stateMachineArn=watched, name="run-ended")["executionArn"]
    account.steps.stop_execution(executionArn=ended)
    names = ["run-alive", "run-ended", "run-never"]
    others = ["cms-northern--run-1", "cms2-north--run-1", "x-cms-north--run-1"]
    listed = [PREFIX + name for name in names] + others
    asked: list[Any] = []

    def list_training_jobs(self: SageMakerResponse) -> ActionResult:
        asked.append(json.loads(self.body))
        return ActionResult({"TrainingJobSummaries": [{"TrainingJobName": name} for name in listed]})

    stops: list[str] = []

    def stop_training_job(self: SageMakerResponse) -> EmptyResult:
        stops.append(self._get_param("TrainingJobName"))
        return EmptyResult()

    monkeypatch.setattr(SageMakerResponse, "list_training_jobs", list_training_jobs)
    monkeypatch.setattr(SageMakerResponse, "stop_training_job", stop_training_job, raising=False)
    sweeper = account.deploy("sweeper", sweeping(PREFIX, alive.removesuffix("run-alive")))
    end = account.end(account.steps.start_execution(stateMachineArn=sweeper)["executionArn"])
    assert end["status"] == "SUCCEEDED", end
    assert stops == [PREFIX + "run-ended", PREFIX + "run-never"]
    assert asked == [{"NameContains": PREFIX, "StatusEquals": "InProgress", "MaxResults": 100}]
    account.steps.stop_execution(executionArn=alive)


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
    assert (calls, stops) == ([JOB] * 5, [JOB])
    assert answers == ["Stopped"]


def test_a_refused_invitation_has_no_job_and_the_stopper_says_so(account: Account) -> None:
    assert ended(account, stop(account, stopper(account), "run-2")) == "SUCCEEDED"


def test_a_stop_that_aws_refuses_is_tried_again_for_minutes() -> None:
    states = stopping(PREFIX)["States"]
    for name in ("DescribeJob", "StopJob"):
        [again] = states[name]["Retry"]
        rate, first, attempts = again["BackoffRate"], again["IntervalSeconds"], again["MaxAttempts"]
        assert sum(first * rate**attempt for attempt in range(attempts)) > 180
    assert states["StopJob"]["Catch"][0]["Next"] == "LookAgain"
