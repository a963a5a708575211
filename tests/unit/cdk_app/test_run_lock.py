"""The run lock: one run at a time, so many a day, whatever is asked and whatever fails."""

from __future__ import annotations

import threading
import time
from typing import Any

import boto3
import pytest
from broker_account import (
    GOOD,
    JOB,
    LOCK,
    PREFIX,
    REGION,
    Account,
    broker_states,
    described,
)
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend

from cdk_app.constructs.broker.lock_states import TAKEN
from rehearsal.link.waiting import eventually


def test_of_many_invitations_at_once_one_starts_a_job(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SageMakerModelBackend, "describe_training_job", described([], ["InProgress"]))
    executions = [account.invite(GOOD | {"run_id": f"run-{number}"}, f"run-{number}") for number in range(25)]
    deadline = time.monotonic() + 120
    while len(running := [arn for arn in executions if account.status(arn) == "RUNNING"]) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert account.jobs == [PREFIX + running[0].split(":")[-1]]
    others = [account.steps.describe_execution(executionArn=arn) for arn in executions if arn not in running]
    assert {(found["error"], found["cause"]) for found in others} == {
        ("Busy", broker_states()["States"]["Busy"]["Cause"])
    }
    account.steps.stop_execution(executionArn=running[0])


def test_a_run_that_has_made_no_job_yet_keeps_the_lock(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    create = SageMakerModelBackend.create_training_job

    def slow(self: Any, *arguments: Any, **options: Any) -> Any:
        assert go_on.wait(60)
        return create(self, *arguments, **options)

    monkeypatch.setattr(SageMakerModelBackend, "create_training_job", slow)
    holder = account.invite(GOOD)
    eventually(lambda: account.holder == "run-1", "the first run's lock")
    try:
        assert account.start(GOOD | {"run_id": "run-2"})["error"] == "Busy"
    finally:
        go_on.set()
    assert (account.end(holder)["status"], account.jobs) == ("SUCCEEDED", [JOB])


def test_the_lock_is_free_once_the_run_that_has_it_is_over(account: Account) -> None:
    assert [account.start(GOOD | {"run_id": f"run-{n}"})["status"] for n in (1, 2)] == ["SUCCEEDED"] * 2


def test_a_job_that_outlives_its_execution_keeps_the_lock(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.hold("run-0")
    for status in ("InProgress", "Stopping"):
        monkeypatch.setattr(SageMakerModelBackend, "describe_training_job", described([], [status]))
        assert account.start(GOOD | {"run_id": f"run-{status.lower()}"})["error"] == "Busy"


def test_a_call_that_fails_for_another_reason_does_not_free_the_lock(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(self: Any, training_job_name: str) -> Any:
        raise ValidationError(message="Rate exceeded")

    account.hold("run-0")
    monkeypatch.setattr(SageMakerModelBackend, "describe_training_job", throttled)
    assert (account.start(GOOD)["error"], account.jobs) == ("Busy", [])


def test_a_lock_whose_run_made_no_job_is_taken_over(account: Account) -> None:
    account.hold("run-0")
    assert account.start(GOOD)["status"] == "SUCCEEDED"
    assert account.lock["holder"] == {"S": "run-1"}


def test_more_runs_than_the_client_allows_in_a_day_are_refused(account: Account) -> None:
    ends = [account.start(GOOD | {"run_id": f"run-{number}"}) for number in range(LOCK.runs_per_day + 1)]
    assert [end.get("error") for end in ends] == [None, None, None, "DailyLimit"]
    assert len(account.jobs) == LOCK.runs_per_day


def test_yesterday_s_runs_are_not_counted(account: Account) -> None:
    account.hold("run-0", day="2026-01-01", starts=LOCK.runs_per_day)
    assert account.start(GOOD)["status"] == "SUCCEEDED"
    assert account.lock["starts"] == {"N": "1"}


def test_whoever_read_the_lock_before_another_took_it_is_refused(account: Account) -> None:
    """The write's condition decides, not what was read."""
    states = broker_states()["States"]
    taken = states["TakeLock"]["Arguments"] | {
        "Item": {"client": {"S": "north"}, "holder": {"S": "run-2"}},
        "ExpressionAttributeValues": {":seen": {"S": ""}, ":mine": {"S": "run-2"}},
    }
    database = boto3.client("dynamodb", REGION)
    database.put_item(**taken)
    database.put_item(**taken)  # an answer that was lost
    late = taken | {"ExpressionAttributeValues": {":seen": {"S": ""}, ":mine": {"S": "run-3"}}}
    with pytest.raises(database.exceptions.ConditionalCheckFailedException):
        database.put_item(**late)
    [caught] = states["TakeLock"]["Catch"]
    assert (caught["ErrorEquals"], caught["Next"]) == (list(TAKEN), "Busy")
