"""Numbered records that are only ever created, never written again: in a folder, or in a bucket of S3.

Creating one whose number is taken fails, whoever else creates at the same time: link() in a folder, PutObject
with If-None-Match in S3, where the job's role may not do otherwise (`s3:if-none-match`).
"""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

from runtime.contract import ExitCode, FedstackError
from runtime.mailbox import S3Client, own_s3

READS_AT_ONCE: Final = 16
TAKEN: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
"""What S3 says when the number is taken, or is being taken just now."""


class Records(Protocol):
    """Records numbered from 0, without a gap."""

    uri: str

    def read(self, start: int) -> list[bytes]:
        """Return the records from a number on; raise BrokenRecordsError if one is missing."""
        ...

    def create(self, number: int, data: bytes) -> bool:
        """Create a record, whole or not at all; return False if its number is taken."""
        ...


class BrokenRecordsError(Exception):
    """A record is not where it must be; its argument is the number."""


def open_records(uri: str, s3: S3Client | None = None) -> Records:
    """Return the records at `file:///absolute/folder` or `s3://bucket/prefix`."""
    scheme, _, place = uri.partition("://")
    if scheme == "file" and place.startswith("/"):
        return _Folder(uri, Path(place))
    bucket, _, prefix = place.partition("/")
    if scheme == "s3" and bucket and prefix.strip("/"):
        return _Bucket(uri, bucket, prefix.strip("/"), s3 or own_s3())
    raise FedstackError(
        ExitCode.CONFIG,
        f"The privacy ledger is {uri!r}.",
        "Give it as s3://bucket/prefix or file:///absolute/folder.",
        public="The privacy ledger is no place that there can be.",
    )


class _Folder:
    def __init__(self, uri: str, folder: Path) -> None:
        self.uri, self._folder = uri, folder

    def read(self, start: int) -> list[bytes]:
        names = [path.name for path in self._folder.glob("*.json")] if self._folder.is_dir() else []
        return [(self._folder / name).read_bytes() for name in _in_order(names)[start:]]

    def create(self, number: int, data: bytes) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f".{secrets.token_hex(8)}"
        try:
            with fresh.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(fresh, self._folder / _name(number))  # fails where replace() would overwrite
        except FileExistsError:
            return False
        finally:
            fresh.unlink(missing_ok=True)
        return True


class _Bucket:
    def __init__(self, uri: str, bucket: str, prefix: str, s3: S3Client) -> None:
        self.uri, self._bucket, self._prefix, self._s3 = uri, bucket, prefix, s3

    def read(self, start: int) -> list[bytes]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            s3 = self._s3()
            # A folder beneath holds records of another kind.
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}/", Delimiter="/"
            )
            keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
            names = _in_order([key.removeprefix(f"{self._prefix}/") for key in keys])[start:]
            with ThreadPoolExecutor(READS_AT_ONCE) as pool:
                return list(pool.map(lambda name: self._get(s3, name), names))
        except (BotoCoreError, ClientError) as error:
            raise self._unreachable("read", error) from error

    def create(self, number: int, data: bytes) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self._prefix}/{_name(number)}"
        try:
            self._s3().put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in TAKEN:
                return False
            raise self._unreachable("written", error) from error
        return True

    def _get(self, s3: Any, name: str) -> bytes:
        body: bytes = s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{name}")["Body"].read()
        return body

    def _unreachable(self, done: str, error: Exception) -> FedstackError:
        return FedstackError(
            ExitCode.PRIVACY_BUDGET,
            f"The privacy ledger at {self.uri} cannot be {done}: {error}.",
            "Let the job's execution role create, read and list there (its own stack does); "
            "nothing noisy leaves this account without it.",
            public=f"The privacy ledger cannot be {done}.",
        )


def _name(number: int) -> str:
    return f"{number:08d}.json"


def _in_order(names: list[str]) -> list[str]:
    ordered = sorted(names)
    for number, name in enumerate(ordered):
        if name != _name(number):
            raise BrokenRecordsError(number)
    return ordered
