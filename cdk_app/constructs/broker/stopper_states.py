"""The stopper's state machine: it does not rest before the job of an execution that ended is over."""

from __future__ import annotations

from typing import Any, Final

from cdk_app.constructs.broker import asl

POLL_SECONDS: Final = 10
LONGEST_SECONDS: Final = 3600
"""A job that is stopped may go on for two minutes; AWS itself may be out of order for longer."""

PATIENTLY: Final = [
    {
        "ErrorEquals": ["States.TaskFailed"],
        "IntervalSeconds": 5,
        "MaxAttempts": 8,
        "BackoffRate": 1.5,
        "JitterStrategy": "FULL",
    }
]
"""About four minutes: a job may be in the making when its execution is stopped, and not be found yet."""


def stopping(job_prefix: str) -> dict[str, Any]:
    """Return the state machine that ends the job which has the execution's name.

    Parameters
    ----------
    job_prefix
        How job names begin; the run's id, which is the execution's name, follows.
    """
    name = {"TrainingJobName.$": f"States.Format('{job_prefix}{{}}', $.detail.name)"}
    status = "$.job.TrainingJobStatus"
    none = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.job", "Next": "NoSuchJob"}]
    failed = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.stopping", "Next": "LookAgain"}]
    return {
        "Comment": "Stops the training job of a broker execution that ended before it",
        "StartAt": "DescribeJob",
        "TimeoutSeconds": LONGEST_SECONDS,
        "States": {
            "DescribeJob": asl.task(
                "sagemaker:describeTrainingJob", name, "JobRuns", "$.job", Retry=PATIENTLY, Catch=none
            ),
            "JobRuns": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": status, "StringEquals": "InProgress", "Next": "StopJob"},
                    {"Variable": status, "StringEquals": "Stopping", "Next": "LookAgain"},
                ],
                "Default": "JobIsOver",
            },
            "StopJob": asl.task(
                "sagemaker:stopTrainingJob", name, "LookAgain", "$.stopping", Retry=PATIENTLY, Catch=failed
            ),
            "LookAgain": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "DescribeJob"},
            "NoSuchJob": {"Type": "Succeed"},
            "JobIsOver": {"Type": "Succeed"},
        },
    }
