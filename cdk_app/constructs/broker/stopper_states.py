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
    name = asl.job_name(job_prefix, "$states.context.Execution.Input.detail.name")
    failed = ["States.TaskFailed"]
    return asl.machine(
        "Stops the training job of a broker execution that ended before it",
        "DescribeJob",
        LONGEST_SECONDS,
        {
            "DescribeJob": asl.task(
                "sagemaker:describeTrainingJob",
                name,
                "JobRuns",
                Output=asl.jsonata("$states.result.TrainingJobStatus"),
                Retry=PATIENTLY,
                Catch=asl.caught(failed, "HasNoJob"),
            ),
            "HasNoJob": asl.no_job("NoSuchJob", "LookAgain"),
            "JobRuns": asl.choice(
                {"StopJob": "$states.input = 'InProgress'", "LookAgain": "$states.input = 'Stopping'"},
                "JobIsOver",
            ),
            "StopJob": asl.task(
                "sagemaker:stopTrainingJob",
                name,
                "LookAgain",
                Retry=PATIENTLY,
                Catch=asl.caught(failed, "LookAgain"),
            ),
            "LookAgain": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "DescribeJob"},
            "NoSuchJob": {"Type": "Succeed"},
            "JobIsOver": {"Type": "Succeed"},
        },
    )
