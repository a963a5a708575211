"""The second half of the broker's state machine: it watches the job, and says how it ended."""

from __future__ import annotations

from typing import Any, Final

from cdk_app.constructs.broker import asl
from cdk_app.constructs.broker import broker_checks as checks
from runtime.contract import JobOption

POLL_SECONDS: Final = 20
"""An execution has 25,000 history events and a round of the watch takes 16: 8.6 hours at this pace."""


def job_name(job_prefix: str) -> dict[str, str]:
    """Return the parameter that names a run's job."""
    return {"TrainingJobName.$": f"States.Format('{job_prefix}{{}}', {checks.path(JobOption.RUN_ID)})"}


def watch(switch: str, job_prefix: str) -> dict[str, Any]:
    """Return the states that look at the job and at participation until one of them ends."""
    name = job_name(job_prefix)
    on = {"Variable": "$.participation.value", "StringEquals": "on"}
    status = "$.job.TrainingJobStatus"
    explained = {
        "And": [
            {"Variable": status, "StringEquals": "Failed"},
            {"Variable": "$.job.FailureReason", "IsPresent": True},
        ]
    }
    # A job that has just ended by itself needs no stopping.
    over = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.stopping", "Next": "ParticipationOff"}]
    out_of_time = {
        "And": [
            {"Variable": status, "StringEquals": "Stopped"},
            {"Variable": "$.job.SecondaryStatus", "StringEquals": "MaxRuntimeExceeded"},
        ]
    }
    ended = {"Completed": "Completed", "Failed": "JobFailed", "Stopped": "JobStopped"}
    return {
        "Wait": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "ReadParticipationAgain"},
        "ReadParticipationAgain": asl.participation(switch, "StillParticipating", "WithdrawJob"),
        "StillParticipating": asl.choice(on, "DescribeJob", "WithdrawJob"),
        "WithdrawJob": asl.task(
            "sagemaker:stopTrainingJob", name, "ParticipationOff", "$.stopping", Retry=asl.AGAIN, Catch=over
        ),
        "DescribeJob": asl.task("sagemaker:describeTrainingJob", name, "JobEnded", "$.job", Retry=asl.AGAIN),
        "JobEnded": {
            "Type": "Choice",
            "Choices": [
                {**explained, "Next": "JobFailedBecause"},
                {**out_of_time, "Next": "JobOutOfTime"},
                *({"Variable": status, "StringEquals": end, "Next": state} for end, state in ended.items()),
            ],
            "Default": "Wait",
        },
    }


def ends() -> dict[str, Any]:
    """Return how an execution can end; the server reads these words."""

    def fail(error: str, cause: str) -> dict[str, Any]:
        return {"Type": "Fail", "Error": error, "Cause": cause}

    return {
        "Completed": {"Type": "Pass", "Parameters": {"status": "Completed"}, "End": True},
        "ParticipationOff": fail("ParticipationOff", "This account has switched its participation off."),
        "BadInvitation": fail(
            "BadInvitation",
            "The input must be run_id (as the execution's name), server_address, server_fingerprint only.",
        ),
        "BundleChanged": fail(
            "BundleChanged", "The published code is not the code that this stack was reviewed with."
        ),
        "JobFailedBecause": {"Type": "Fail", "Error": "JobFailed", "CausePath": "$.job.FailureReason"},
        "JobFailed": fail("JobFailed", "The job failed and SageMaker gave no reason."),
        "JobOutOfTime": fail(
            "JobOutOfTime", "The job ran as long as its stack lets it (max_runtime_minutes) and was stopped."
        ),
        "JobStopped": fail("JobStopped", "The job was stopped before it ended."),
    }
