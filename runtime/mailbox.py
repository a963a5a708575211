"""Mailboxes: where a client's job leaves its certificate for the server to read.

A client account's mailbox can be written only by its execution role and read by the server's kickoff role
there. On one machine it is a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from runtime.contract import CERTIFICATE_KEY, ExitCode, FedstackError

S3Client = Callable[[], Any]
"""Returns a boto3 client of S3; asked for at every use, so that its credentials may change."""


class _Store(Protocol):
    """A place of small files."""

    def put(self, key: str, content: bytes) -> None: ...
    def get(self, key: str) -> bytes | None: ...


class Mailbox:
    """One client's mailbox, named by a URI.

    Parameters
    ----------
    uri
        `s3://bucket/prefix` or `file:///absolute/folder`.
    s3
        The S3 client to work with; the process's own by default.
    """

    def __init__(self, uri: str, s3: S3Client | None = None) -> None:
        scheme, _, place = uri.partition("://")
        if scheme == "file" and place.startswith("/"):
            self._store: _Store = _Folder(Path(place))
        elif scheme == "s3" and place.strip("/"):
            bucket, _, prefix = place.partition("/")
            self._store = _Bucket(bucket, prefix.strip("/"), s3 or own_s3())
        else:
            raise FedstackError(
                ExitCode.CONFIG,
                f"The mailbox is {uri!r}.",
                "Give it as s3://bucket/prefix or file:///absolute/folder.",
                public="The mailbox is no place that there can be.",
            )

    def post_certificate(self, run_id: str, client: str, certificate: bytes) -> None:
        """Leave a client's certificate for one run, in place of an earlier one."""
        self._store.put(CERTIFICATE_KEY.format(run_id=run_id, client=client), certificate)

    def read_certificate(self, run_id: str, client: str) -> bytes | None:
        """Return a client's certificate for one run, if it is there yet."""
        return self._store.get(CERTIFICATE_KEY.format(run_id=run_id, client=client))


class _Folder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, content: bytes) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(content)
        fresh.replace(path)  # a reader sees the old certificate or the new one, never half of one

    def get(self, key: str) -> bytes | None:
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None


class _Bucket:
    """A prefix of a bucket, encrypted as the bucket's own default says."""

    def __init__(self, bucket: str, prefix: str, s3: S3Client) -> None:
        self._bucket, self._prefix, self._s3 = bucket, prefix, s3

    def put(self, key: str, content: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._s3().put_object(Bucket=self._bucket, Key=self._key(key), Body=content)
        except (BotoCoreError, ClientError) as error:
            raise FedstackError(
                ExitCode.IDENTITY,
                f"The certificate cannot be put into the mailbox {self._bucket}: {error}.",
                "Let the job's execution role write there (its own stack does), and its network reach S3.",
                public="The certificate cannot be put into the mailbox.",
            ) from error

    def get(self, key: str) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._s3().get_object(Bucket=self._bucket, Key=self._key(key))
            content: bytes = answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise FedstackError(
                ExitCode.IDENTITY,
                f"The mailbox {self._bucket} cannot be read: {error}.",
                "Let the client's kickoff role read it (its own stack does), and this network reach S3.",
                public="The mailbox cannot be read.",
            ) from error
        return content

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key


def own_s3() -> S3Client:
    """Return a maker of the process's own client, which is made when it is first needed."""
    import boto3  # not needed, nor installed, where mailboxes are folders

    made: list[Any] = []

    def client() -> Any:
        if not made:
            made.append(boto3.client("s3"))
        return made[0]

    return client
