"""The broker's state machine: participation, invitation, code, job, and a watch until the job ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdk_app.constructs import broker_checks as checks
from cdk_app.constructs.job import JobRequest
from runtime.contract import JobOption

POLL_SECONDS: Final = 20
# An execution has 25,000 history events and a round of the watch takes 16: 8.6 hours at this pace. The
# config allows jobs of 7 hours, and an hour more for spot capacity.
GRACE_SECONDS: Final = 1800

_AGAIN: Final = [
    {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 2, "MaxAttempts": 4, "BackoffRate": 2.0}
]


@dataclass(frozen=True, kw_only=True)
class AdmittedBundle:
    """The reviewed code: where the deployment published it, where it is admitted to, and its SHA-256."""

    published_bucket: str
    published_key: str
    code_bucket: str
    code_key: str
    sha256_base64: str


def definition(
    *, request: JobRequest, bundle: AdmittedBundle, switch: str, job_prefix: str
) -> dict[str, Any]:
    """Return the state machine that pins one client's job.

    Parameters
    ----------
    request
        The job, whole but for its name and the invitation.
    bundle
        The code that may run; S3 itself computes the checksum that is compared.
    switch
        The SSM parameter that says whether this account takes part; read before and during every job.
    job_prefix
        How job names begin; the run's id follows.
    """
    return {
        "Comment": "Starts one pinned training job for the federation's server, and watches it",
        "StartAt": "Receive",
        "TimeoutSeconds": request.wait_seconds + GRACE_SECONDS,
        "States": {
            **_invitation(switch),
            **_code(bundle),
            **_job(request, job_prefix),
            **_watch(switch, job_prefix),
            **_ends(),
        },
    }


def _task(
    action: str, parameters: Mapping[str, Any], then: str, result: str | None, **more: Any
) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"arn:aws:states:::aws-sdk:{action}",
        "Parameters": dict(parameters),
        "ResultPath": result,
        "Next": then,
        **more,
    }


def _choice(rule: Mapping[str, Any], then: str, otherwise: str) -> dict[str, Any]:
    return {"Type": "Choice", "Choices": [{**rule, "Next": then}], "Default": otherwise}


def _participation(switch: str, then: str) -> dict[str, Any]:
    selector = {"value.$": "$.Parameter.Value"}
    return _task(
        "ssm:getParameter", {"Name": switch}, then, "$.participation", ResultSelector=selector, Retry=_AGAIN
    )


def _invitation(switch: str) -> dict[str, Any]:
    on = {"Variable": "$.participation.value", "StringEquals": "on"}
    return {
        "Receive": {"Type": "Pass", "Parameters": {"invitation.$": "$"}, "Next": "ReadParticipation"},
        "ReadParticipation": _participation(switch, "Participating"),
        "Participating": _choice(on, "InvitationPresent", "ParticipationOff"),
        "InvitationPresent": _choice(checks.present(), "InspectInvitation", "BadInvitation"),
        "InspectInvitation": {
            "Type": "Pass",
            "Parameters": checks.inspection(),
            "Next": "InvitationWellFormed",
        },
        "InvitationWellFormed": _choice(checks.well_formed(), "AdmitBundle", "BadInvitation"),
    }


def _code(bundle: AdmittedBundle) -> dict[str, Any]:
    copy = {
        "Bucket": bundle.code_bucket,
        "Key": bundle.code_key,
        "CopySource": f"{bundle.published_bucket}/{bundle.published_key}",
        "ChecksumAlgorithm": "SHA256",
    }
    selector = {"sha256.$": "$.CopyObjectResult.ChecksumSHA256"}
    reviewed = {"Variable": "$.bundle.sha256", "StringEquals": bundle.sha256_base64}
    return {
        "AdmitBundle": _task(
            "s3:copyObject", copy, "BundleReviewed", "$.bundle", ResultSelector=selector, Retry=_AGAIN
        ),
        "BundleReviewed": _choice(reviewed, "StartJob", "BundleChanged"),
    }


def _name(job_prefix: str) -> dict[str, str]:
    return {"TrainingJobName.$": f"States.Format('{job_prefix}{{}}', {checks.path(JobOption.RUN_ID)})"}


def _job(request: JobRequest, job_prefix: str) -> dict[str, Any]:
    parameters = {
        **_name(job_prefix),
        **request.parameters(),
        "HyperParameters": {**request.pinned_hyperparameters(), **checks.invited_hyperparameters()},
    }
    return {"StartJob": _task("sagemaker:createTrainingJob", parameters, "Wait", None)}


def _watch(switch: str, job_prefix: str) -> dict[str, Any]:
    name = _name(job_prefix)
    on = {"Variable": "$.participation.value", "StringEquals": "on"}
    status = "$.job.TrainingJobStatus"
    explained = {
        "And": [
            {"Variable": status, "StringEquals": "Failed"},
            {"Variable": "$.job.FailureReason", "IsPresent": True},
        ]
    }
    ended = {"Completed": "Completed", "Failed": "JobFailed", "Stopped": "JobStopped"}
    return {
        "Wait": {"Type": "Wait", "Seconds": POLL_SECONDS, "Next": "ReadParticipationAgain"},
        "ReadParticipationAgain": _participation(switch, "StillParticipating"),
        "StillParticipating": _choice(on, "DescribeJob", "WithdrawJob"),
        "WithdrawJob": _task("sagemaker:stopTrainingJob", name, "ParticipationOff", None, Retry=_AGAIN),
        "DescribeJob": _task("sagemaker:describeTrainingJob", name, "JobEnded", "$.job", Retry=_AGAIN),
        "JobEnded": {
            "Type": "Choice",
            "Choices": [
                {**explained, "Next": "JobFailedBecause"},
                *({"Variable": status, "StringEquals": end, "Next": state} for end, state in ended.items()),
            ],
            "Default": "Wait",
        },
    }


def _ends() -> dict[str, Any]:
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
        "JobStopped": fail("JobStopped", "The job was stopped before it ended."),
    }
