"""What a job takes from S3 and what it leaves there, with its execution role."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import ClientError


class JobFailedError(Exception):
    """The job's FailureReason."""


def download(s3: Any, asked: Mapping[str, Any], ml: Path) -> None:
    """Put every input channel into its folder."""
    for channel in asked.get("InputDataConfig") or []:
        target = ml / "input" / "data" / channel["ChannelName"]
        target.mkdir(parents=True)
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        bucket, prefix = parts(uri)
        try:
            found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
            for item in found:
                name = item["Key"].removeprefix(prefix).lstrip("/") or Path(item["Key"]).name
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, item["Key"], str(path))
        except ClientError as error:
            raise JobFailedError(f"ClientError: Data download failed:{error}") from error
        if not found:
            raise JobFailedError(
                f"ClientError: Data download failed:No S3 objects found under S3 URL {uri!r}"
            )


def upload(s3: Any, asked: Mapping[str, Any], ml: Path) -> str:
    """Send the model, and whatever else the job left, to the job's folder in S3."""
    place = asked["OutputDataConfig"]
    bucket, prefix = parts(place["S3OutputPath"])
    base = f"{prefix.rstrip('/')}/{asked['TrainingJobName']}/output".lstrip("/")
    encryption = (
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": place["KmsKeyId"]} if "KmsKeyId" in place else {}
    )
    sent = ""
    for name, source in (("model", ml / "model"), ("output", ml / "output" / "data")):
        if not source.is_dir() or not any(source.iterdir()):
            continue
        archive = ml.parents[1] / f"{name}.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            for file in sorted(source.iterdir()):
                packed.add(file, arcname=file.name)
        try:
            s3.upload_file(str(archive), bucket, f"{base}/{name}.tar.gz", ExtraArgs=encryption)
        except Exception as error:  # boto3 wraps it
            raise JobFailedError(f"ClientError: Artifact upload failed:{error}") from error
        sent = f"s3://{bucket}/{base}/{name}.tar.gz" if name == "model" else sent
    return sent


def parts(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an s3:// URI."""
    parsed = urlparse(uri)
    return parsed.netloc, parsed.path.lstrip("/")
