"""The sweeper's state machine: it stops every job of this client that no running execution watches."""

from __future__ import annotations

from typing import Any, Final

from cdk_app.constructs.broker import asl
from cdk_app.constructs.broker.lock_states import FORGOTTEN
from cdk_app.constructs.broker.stopper_states import PATIENTLY

MINUTES: Final = 15
"""How often it looks."""

LONGEST_SECONDS: Final = 600


def sweeping(job_prefix: str, execution_prefix: str) -> dict[str, Any]:
    """Return the state machine that goes over the client's jobs.

    An execution starts before its job, so that a job without one has lost it.

    Parameters
    ----------
    job_prefix, execution_prefix
        How the names of jobs and the ARNs of the broker's executions begin; the same name follows both.
    """
    each = {
        "Job": {"Type": "Pass", "Assign": {"job": asl.jsonata("$states.input")}, "Next": "DescribeExecution"},
        "DescribeExecution": asl.task(
            "sfn:describeExecution",
            {"ExecutionArn": asl.jsonata(f"'{execution_prefix}' & $substringAfter($job, '{job_prefix}')")},
            "IsWatched",
            Output=asl.jsonata("$states.result.Status"),
            Retry=[{"ErrorEquals": FORGOTTEN, "MaxAttempts": 0}, *PATIENTLY],
            Catch=asl.caught(FORGOTTEN, "StopJob"),
        ),
        "IsWatched": asl.choice({"Watched": "$states.input = 'RUNNING'"}, "StopJob"),
        "StopJob": asl.task(
            "sagemaker:stopTrainingJob",
            {"TrainingJobName": asl.jsonata("$job")},
            "Watched",
            Retry=PATIENTLY,
        ),
        "Watched": {"Type": "Succeed"},
    }
    summaries = "$states.result.TrainingJobSummaries"
    return asl.machine(
        "Stops the federation's training jobs that no execution of the broker watches",
        "ListJobs",
        LONGEST_SECONDS,
        {
            "ListJobs": asl.task(
                "sagemaker:listTrainingJobs",
                {"NameContains": job_prefix, "StatusEquals": "InProgress", "MaxResults": 100},
                "EachJob",
                Output=asl.jsonata(
                    f"[{summaries}[$substring(TrainingJobName, 0, {len(job_prefix)}) = '{job_prefix}']"
                    ".TrainingJobName]"
                ),
                Retry=asl.AGAIN,
            ),
            "EachJob": {
                "Type": "Map",
                "Items": asl.jsonata("$states.input"),
                "MaxConcurrency": 1,
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "INLINE"},
                    "StartAt": "Job",
                    "States": each,
                },
                "End": True,
            },
        },
    )
