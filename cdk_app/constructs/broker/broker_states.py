"""The broker's state machine: participation, invitation, code, lock, job, and a watch until the job ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cdk_app.constructs.broker import asl, invitation
from cdk_app.constructs.broker.broker_watch import ends, watch
from cdk_app.constructs.broker.lock_states import RunLock, lock
from cdk_app.constructs.broker.window import Window
from cdk_app.constructs.broker.window import states as window_states
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
    published_kms_key: str | None = None


def definition(
    *,
    request: JobRequest,
    bundle: AdmittedBundle,
    run_lock: RunLock,
    switch: str,
    job_prefix: str,
    window: Window | None = None,
) -> dict[str, Any]:
    """Return the state machine that pins one client's job.

    Parameters
    ----------
    request
        The job, whole but for its name and the invitation.
    bundle
        The code that may run; S3 itself computes the checksum that is compared.
    run_lock
        What keeps a second run from starting beside the first.
    switch
        The SSM parameter that says whether this account takes part; read before and during every job.
    job_prefix
        How job names begin; the execution's name, which is the run's id, follows.
    window
        When runs may start; at any time without one.
    """
    first, in_time = window_states(window, "InvitationWellFormed")
    return asl.machine(
        "Starts one pinned training job for the federation's server, and watches it",
        "ReadParticipation",
        request.wait_seconds + GRACE_SECONDS,
        {
            "ReadParticipation": asl.participation(switch, "Participates", "ParticipationOff"),
            "Participates": asl.choice({first: "$states.input = 'on'"}, "ParticipationOff"),
            **in_time,
            "InvitationWellFormed": asl.choice({"AdmitBundle": invitation.well_formed()}, "BadInvitation"),
            **_code(bundle),
            **lock(run_lock, job_prefix, "StartJob"),
            "StartJob": _start(request, job_prefix),
            **watch(switch, job_prefix),
            **ends(),
        },
    )


def _code(bundle: AdmittedBundle) -> dict[str, Any]:
    copy = {
        "Bucket": bundle.code_bucket,
        "Key": bundle.code_key,
        "CopySource": f"{bundle.published_bucket}/{bundle.published_key}",
        "ChecksumAlgorithm": "SHA256",
    }
    checksum = asl.jsonata("$states.result.CopyObjectResult.ChecksumSHA256")
    return {
        "AdmitBundle": asl.task("s3:copyObject", copy, "BundleReviewed", Output=checksum, Retry=asl.AGAIN),
        "BundleReviewed": asl.choice(
            {"ReadLock": f"$states.input = '{bundle.sha256_base64}'"}, "BundleChanged"
        ),
    }


def _start(request: JobRequest, job_prefix: str) -> dict[str, Any]:
    options = {**request.pinned_hyperparameters(), **invitation.invited_hyperparameters()}
    return asl.task(
        "sagemaker:createTrainingJob",
        {**asl.job_name(job_prefix), **request.parameters(), "HyperParameters": options},
        "Wait",
        Retry=[{"ErrorEquals": [IN_USE], "MaxAttempts": 0}, *asl.AGAIN],
        # A call whose answer was lost has made the job: the next finds the name in use, and it is watched.
        Catch=asl.caught([IN_USE], "Wait"),
    )
