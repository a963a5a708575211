"""Put files into a client's data bucket; the bucket encrypts them with the account's own key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import boto3
from boto3.exceptions import S3UploadFailedError

from cdk_app.config.load import load
from cdk_app.naming import ClientNames
from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.server.jobs.started import aws_said
from runtime.tabular.data.schema import SCHEMA_FILE

FOLDER: Final = "train"
DATA_BUCKET: Final = "StorageData"
"""What the logical id of the data bucket begins with."""


def send(file: Path, name: str, federation: Path) -> list[str]:
    """Upload a file with the schema beside it, or all files of a folder; return where each one is.

    Raises
    ------
    FedstackError
        When there is nothing to send, no such client, the credentials are of another account, or AWS refuses.
    """
    files = _files(file)
    chosen = load(federation)
    client = chosen.client(name)
    names = chosen.names_of(client)
    with aws_said():
        session = boto3.Session(region_name=client.region)
        caller = session.client("sts").get_caller_identity()["Account"]
        if caller != client.account:
            raise FedstackError(
                ExitCode.CONFIG,
                f"These credentials are of account {caller}, and {name}'s is {client.account}.",
                f"Use {name}'s own (AWS_PROFILE): data never go through another account.",
            )
        bucket = data_bucket(session, names)
        s3 = session.client("s3")
        try:
            for key, path in files.items():
                s3.upload_file(str(path), bucket, f"{FOLDER}/{key}")
        except S3UploadFailedError as error:
            raise FedstackError(
                ExitCode.CONFIG,
                f"{path} was not taken: {printable(error)}.",
                "These credentials need s3:PutObject there, and kms:GenerateDataKey of the account's key.",
            ) from error
    return [f"s3://{bucket}/{FOLDER}/{key}" for key in files]


def data_bucket(session: Any, names: ClientNames) -> str:
    """Return the data bucket of a client's stack.

    Raises
    ------
    FedstackError
        When the stack is not deployed there.
    """
    pages = session.client("cloudformation").get_paginator("list_stack_resources")
    for page in pages.paginate(StackName=names.stack):
        for resource in page["StackResourceSummaries"]:
            is_data = resource["LogicalResourceId"].startswith(DATA_BUCKET)
            if is_data and resource["ResourceType"] == "AWS::S3::Bucket":
                return str(resource["PhysicalResourceId"])
    raise FedstackError(
        ExitCode.CONFIG, f"{names.stack} has no data bucket.", "Deploy the client's stack first."
    )


def _files(file: Path) -> dict[str, Path]:
    """Return what is sent, by its key below `train/`."""
    if file.is_dir():
        found = {p.relative_to(file).as_posix(): p for p in sorted(file.rglob("*")) if p.is_file()}
        if not found:
            raise FedstackError(
                ExitCode.DATA, f"The folder {file} is empty.", "Give a file, or a folder of them."
            )
        return found
    if not file.is_file():
        raise FedstackError(ExitCode.DATA, f"{file} does not exist.", "Give a readable CSV file.")
    schema = file.parent / SCHEMA_FILE
    return {file.name: file, **({SCHEMA_FILE: schema} if schema.is_file() else {})}
