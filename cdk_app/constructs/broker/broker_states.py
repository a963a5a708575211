"""The broker's state machine: participation, invitation, code, job, and a watch until the job ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cdk_app.constructs.broker import asl
from cdk_app.constructs.broker import broker_checks as checks
from cdk_app.constructs.broker.broker_watch import ends, job_name, watch
from cdk_app.constructs.job.job import JobRequest

IN_USE: Final = "SageMaker.ResourceInUseException"
GRACE_SECONDS: Final = 1800
"""What an execution may take beyond its job."""


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
            **watch(switch, job_prefix),
            **ends(),
        },
    }


def _invitation(switch: str) -> dict[str, Any]:
    on = {"Variable": "$.participation.value", "StringEquals": "on"}
    return {
        "Receive": {"Type": "Pass", "Parameters": {"invitation.$": "$"}, "Next": "ReadParticipation"},
        "ReadParticipation": asl.participation(switch, "Participating", "ParticipationOff"),
        "Participating": asl.choice(on, "InvitationPresent", "ParticipationOff"),
        "InvitationPresent": asl.choice(checks.present(), "ListInvitation", "BadInvitation"),
        "ListInvitation": {"Type": "Pass", "Parameters": checks.listing(), "Next": "InspectInvitation"},
        "InspectInvitation": {
            "Type": "Pass",
            "Parameters": checks.inspection(),
            "Next": "InvitationWellFormed",
        },
        "InvitationWellFormed": asl.choice(checks.well_formed(), "AdmitBundle", "BadInvitation"),
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
        "AdmitBundle": asl.task(
            "s3:copyObject", copy, "BundleReviewed", "$.bundle", ResultSelector=selector, Retry=asl.AGAIN
        ),
        "BundleReviewed": asl.choice(reviewed, "StartJob", "BundleChanged"),
    }


def _job(request: JobRequest, job_prefix: str) -> dict[str, Any]:
    parameters = {
        **job_name(job_prefix),
        **request.parameters(),
        "HyperParameters": {**request.pinned_hyperparameters(), **checks.invited_hyperparameters()},
    }
    # A call whose answer was lost has made the job: the next finds the name in use, and it is watched.
    made = {"ErrorEquals": [IN_USE], "ResultPath": "$.started", "Next": "Wait"}
    never = {"ErrorEquals": [IN_USE], "MaxAttempts": 0}
    return {
        "StartJob": asl.task(
            "sagemaker:createTrainingJob",
            parameters,
            "Wait",
            "$.started",
            Retry=[never, *asl.AGAIN],
            Catch=[made],
        )
    }
