"""One run at a time, and so many a day: a lock that each run takes over from the last one.

Nobody gives the lock back, so none is ever left behind: the next run looks whether the one that has it is
over. The lock is one item, written on the condition that its holder is still the one that was looked at, so
that of any number of executions one gets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cdk_app.constructs.broker import asl

TAKEN: Final = ["DynamoDb.ConditionalCheckFailedException", "DynamoDB.ConditionalCheckFailedException"]
"""AWS writes the service's name in both ways."""

KEY: Final = "client"
"""The lock table's key: whose lock an item is."""

FORGOTTEN: Final = ["Sfn.ExecutionDoesNotExistException"]
"""An execution's history is kept for 90 days."""

_NOW: Final = "$substring($states.context.State.EnteredTime, 0, 10)"
_ITEM: Final = "$states.result.Item"


@dataclass(frozen=True, kw_only=True)
class RunLock:
    """The table of one item, whose lock it is, and how many runs a day (UTC) may take it.

    Parameters
    ----------
    execution_prefix
        How the ARNs of the broker's executions begin; an execution's name follows.
    """

    table: str
    client: str
    runs_per_day: int
    execution_prefix: str


def lock(held: RunLock, job_prefix: str, then: str) -> dict[str, Any]:
    """Return the states that take the lock before they go on, the first of them `ReadLock`."""
    key = {KEY: {"S": held.client}}
    no_item = f"$exists({_ITEM}) ? {_ITEM}"
    started_today = f"{_ITEM}.day.S = {_NOW} ? $number({_ITEM}.starts.N) : 0"
    text = asl.jsonata
    item = {
        **key,
        "holder": {"S": text(asl.EXECUTION)},
        "day": {"S": text(_NOW)},
        "starts": {"N": text("$string($starts + 1)")},
    }
    return {
        "ReadLock": asl.task(
            "dynamodb:getItem",
            {"TableName": held.table, "Key": key, "ConsistentRead": True},
            "LockIsFree",
            Assign={"holder": text(f"{no_item}.holder.S : ''"), "starts": text(started_today)},
            Retry=asl.AGAIN,
        ),
        "LockIsFree": asl.choice(
            {"DailyLimit": f"$starts >= {held.runs_per_day}", "TakeLock": "$holder = ''"},
            "DescribeHolder",
        ),
        "DescribeHolder": asl.task(
            "sfn:describeExecution",
            {"ExecutionArn": text(f"'{held.execution_prefix}' & $holder")},
            "HolderRuns",
            Output=text("$states.result.Status"),
            Retry=[{"ErrorEquals": FORGOTTEN, "MaxAttempts": 0}, *asl.AGAIN],
            Catch=asl.caught(FORGOTTEN, "DescribeHoldersJob"),
        ),
        "HolderRuns": asl.choice({"Busy": "$states.input = 'RUNNING'"}, "DescribeHoldersJob"),
        # An execution may end before its job, which the stopper then stops.
        "DescribeHoldersJob": asl.task(
            "sagemaker:describeTrainingJob",
            asl.job_name(job_prefix, "$holder"),
            "HoldersJobRuns",
            Output=text("$states.result.TrainingJobStatus"),
            Retry=asl.AGAIN,
            Catch=asl.caught(["States.TaskFailed"], "HolderHasNoJob"),
        ),
        # Its execution ended before it made one.
        "HolderHasNoJob": asl.no_job("TakeLock", "Busy"),
        "HoldersJobRuns": asl.choice({"Busy": "$states.input in ['InProgress', 'Stopping']"}, "TakeLock"),
        "TakeLock": asl.task(
            "dynamodb:putItem",
            {
                "TableName": held.table,
                "Item": item,
                # Its own is the lock of a call that was made and whose answer was lost.
                "ConditionExpression": "attribute_not_exists(holder) OR holder IN (:seen, :mine)",
                "ExpressionAttributeValues": {
                    ":seen": {"S": text("$holder")},
                    ":mine": {"S": text(asl.EXECUTION)},
                },
            },
            then,
            Retry=[{"ErrorEquals": TAKEN, "MaxAttempts": 0}, *asl.AGAIN],
            Catch=asl.caught(TAKEN, "Busy"),
        ),
        "Busy": asl.failure("Busy", "Another run of this client goes on; one is started when it is over."),
        "DailyLimit": asl.failure(
            "DailyLimit",
            f"This account starts {held.runs_per_day} runs a day (UTC) at most (max_runs_per_day).",
        ),
    }
