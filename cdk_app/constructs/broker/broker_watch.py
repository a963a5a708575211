"""The second half of the broker's state machine: it watches the job, and says how it ended."""

from __future__ import annotations

from typing import Any, Final

from cdk_app.constructs.broker import asl

POLL_SECONDS: Final = 20
"""An execution has 25,000 history events and a round of the watch takes 16: 8.6 hours at this pace."""


def watch(switch: str, job_prefix: str) -> dict[str, Any]:
    """Return the states that look at the job and at participation until one of them ends."""
    name, reason = asl.job_name(job_prefix), "$states.result.FailureReason"
    job = {
        "status": asl.jsonata("$states.result.TrainingJobStatus"),
        "out_of_time": asl.jsonata("$states.result.SecondaryStatus = 'MaxRuntimeExceeded'"),
        "reason": asl.jsonata(f"$exists({reason}) ? {reason} : 'SageMaker gave no reason.'"),
    }
    ended = "$states.input.status = "
    return {
        "Wait": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "ReadParticipationAgain"},
        "ReadParticipationAgain": asl.participation(switch, "StillParticipating", "WithdrawJob"),
        "StillParticipating": asl.choice({"DescribeJob": "$states.input = 'on'"}, "WithdrawJob"),
        "WithdrawJob": asl.task(
            "sagemaker:stopTrainingJob",
            name,
            "ParticipationOff",
            Retry=asl.AGAIN,
            # A job that has just ended by itself needs no stopping.
            Catch=asl.caught(["States.TaskFailed"], "ParticipationOff"),
        ),
        "DescribeJob": asl.task(
            "sagemaker:describeTrainingJob", name, "JobEnded", Output=job, Retry=asl.AGAIN
        ),
        "JobEnded": asl.choice(
            {
                "Completed": f"{ended}'Completed'",
                "JobFailed": f"{ended}'Failed'",
                "JobOutOfTime": f"{ended}'Stopped' and $states.input.out_of_time",
                "JobStopped": f"{ended}'Stopped'",
            },
            "Wait",
        ),
    }


def ends() -> dict[str, Any]:
    """Return how an execution can end; the server reads these words."""
    return {
        "Completed": {"Type": "Pass", "Output": {"status": "Completed"}, "End": True},
        "ParticipationOff": asl.failure(
            "ParticipationOff", "This account has switched its participation off."
        ),
        "BadInvitation": asl.failure(
            "BadInvitation",
            "The input must be run_id (as the execution's name), server_address, server_fingerprint only.",
        ),
        "BundleChanged": asl.failure(
            "BundleChanged", "The published code is not the code that this stack was reviewed with."
        ),
        "JobFailed": asl.failure("JobFailed", asl.jsonata("$states.input.reason")),
        "JobOutOfTime": asl.failure(
            "JobOutOfTime", "The job ran as long as its stack lets it (max_runtime_minutes) and was stopped."
        ),
        "JobStopped": asl.failure("JobStopped", "The job was stopped before it ended."),
    }
