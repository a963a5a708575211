"""Registration in the SageMaker Model Registry of the account whose credentials this process has.

A client's own owner registers there, and the server in its own account: nobody registers in another's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from runtime.contract import ExitCode, FedstackError, model_group
from runtime.errors import printable
from runtime.model.bundle import ENVIRONMENT, bundle
from runtime.model.card import card, facts, metrics_report
from runtime.model.clients import Clients
from runtime.model.images import serving_image
from runtime.model.place import installed
from runtime.model.vouched import Vouched

SERVING: Final = "serving"
"""The folder of an account's artifacts or results bucket from which its models are served."""

MIME_TYPES: Final = ["text/csv", "application/json"]


@dataclass(frozen=True)
class Registered:
    """A model package: its ARN, where its files lie, and whether it was there already."""

    arn: str
    place: str
    sha256: str
    again: bool


def register(vouched: Vouched, *, federation: str, bucket: str, clients: Clients) -> Registered:
    """Register a model once, awaiting a person's approval.

    Parameters
    ----------
    federation
        Whose group of models it goes into.
    bucket
        A bucket of this account; files go to `serving/DIGEST/` in it.

    Raises
    ------
    FedstackError
        When the run failed, the model cannot be served, or AWS refuses.
    """
    if vouched.ended.get("verdict") == "FAILED":
        raise FedstackError(
            ExitCode.CONFIG,
            f"The run of {vouched.path} FAILED: its model is what the last round left.",
            "Run again, or go on with --resume, and register what that leaves.",
        )
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,53}", federation):
        raise FedstackError(
            ExitCode.CONFIG,
            f"The federation's name is {federation!r}, which cannot name a group of models.",
            "Give --federation with letters, digits and hyphens.",
        )
    content = bundle(vouched)
    folder, group = f"{SERVING}/{vouched.sha256}", model_group(federation)
    with _said(f"The model cannot be registered in {group}"):
        sagemaker, s3 = clients("sagemaker"), clients("s3")
        _open_group(sagemaker, group, federation)
        place = f"s3://{bucket}/{folder}/model.tar.gz"
        if there := _registered(sagemaker, group, vouched.sha256):
            return Registered(there, place, vouched.sha256, again=True)
        s3.put_object(Bucket=bucket, Key=f"{folder}/model.tar.gz", Body=content)
        s3.put_object(Bucket=bucket, Key=f"{folder}/metrics.json", Body=metrics_report(vouched).encode())
        request = package(vouched, group, f"s3://{bucket}/{folder}", sagemaker.meta.region_name)
        arn = str(sagemaker.create_model_package(**request)["ModelPackageArn"])
        return Registered(arn, place, vouched.sha256, again=False)


def package(vouched: Vouched, group: str, folder: str, region: str) -> dict[str, Any]:
    """Return the request that registers a model."""
    image = serving_image(region)
    if image is None:
        raise FedstackError(
            ExitCode.CONFIG,
            f"SageMaker publishes no scikit-learn image in {region!r}.",
            "Name the Region of the account's stack with --region.",
        )
    place, code = f"{folder}/model.tar.gz", code_of(vouched)
    container = {"Image": image, "ModelDataUrl": place, "Environment": ENVIRONMENT}
    scores = {name: f"{value:.6g}" for name, value in vouched.metrics.items()}
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": _description(vouched.sha256),
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": MIME_TYPES,
            "SupportedResponseMIMETypes": MIME_TYPES,
        },
        "ModelApprovalStatus": "PendingManualApproval",
        "ModelMetrics": {
            "ModelQuality": {
                "Statistics": {"ContentType": "application/json", "S3Uri": f"{folder}/metrics.json"}
            }
        },
        "CustomerMetadataProperties": {**scores, **facts(vouched, code)},
        "ModelCard": {"ModelCardContent": card(vouched, place, code), "ModelCardStatus": "PendingReview"},
        # Of two that register at once, the second gets the first one's package.
        "ClientToken": vouched.sha256[:36],
    }


def code_of(vouched: Vouched) -> str:
    """Return the digest of the bundle that the run was made with, as far as it is known here."""
    if told := vouched.started.get("bundle"):
        return str(told)
    if digest := installed().get("bundle"):
        return f"sha256:{digest}"
    return f"runtime:{vouched.started.get('versions', {}).get('bundle', 'unknown')}"


def _description(sha256: str) -> str:
    return f"model.joblib sha256:{sha256}"


def _open_group(sagemaker: Any, group: str, federation: str) -> None:
    """Make the federation's group of models, unless it is there."""
    from botocore.exceptions import ClientError

    try:
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
            raise
        try:
            about = f"Models of the federation {federation}"
            sagemaker.create_model_package_group(
                ModelPackageGroupName=group, ModelPackageGroupDescription=about
            )
        except ClientError as taken:
            if "already exists" not in str(taken):  # another one made it just now
                raise


def _registered(sagemaker: Any, group: str, sha256: str) -> str | None:
    """Return the package of a model that was registered before."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
    packages = (one for page in pages for one in page["ModelPackageSummaryList"])
    wanted = _description(sha256)
    same = (one for one in packages if one.get("ModelPackageDescription") == wanted)
    return next((str(one["ModelPackageArn"]) for one in same), None)


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Say in one line what AWS refuses."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise FedstackError(
            ExitCode.IDENTITY,
            f"{what}: {printable(error)}.",
            "Use the account's own role that may: its notebook's, or its owner's (docs/model.md).",
        ) from error
