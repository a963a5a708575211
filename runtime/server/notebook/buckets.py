"""The server's two buckets: the test set comes from the one, what a run leaves goes into the other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.server.settings import PlatformSettings

SCHEMA: Final = "schema.json"
"""Beside a test set: what its columns are, where they are not CMS's."""
_PUT: Final = "Put one there (`aws s3 cp test.csv {place}`), or give --test-data FILE."


def fetch_test_set(place: str, folder: Path, *, needed: bool) -> Path | None:
    """Fetch the one test set of a place, and its schema, into a fresh folder.

    Parameters
    ----------
    place
        `s3://bucket/prefix/`.
    needed
        Whether a run can do without.

    Returns
    -------
    Path, optional
        The file; None where there is none and none is needed.

    Raises
    ------
    FedstackError
        When there is none, when there are several, or when the disk cannot hold it.
    """
    s3, (bucket, prefix) = _s3(), _parts(place)
    with _asking(f"The test set of {place} cannot be fetched"):
        sizes: dict[str, int] = {
            found["Key"].removeprefix(prefix): int(found["Size"])
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            for found in page.get("Contents", [])
            if not found["Key"].endswith("/")  # what the console leaves for an empty folder
        }
        sets = sorted(set(sizes) - {SCHEMA})
        if not sets and not needed:
            return None
        if len(sets) != 1:
            _refuse(place, sets)
        _make_room(folder, sum(sizes.values()), place)
        for name in sizes:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, prefix + name, str(folder / name))
    return folder / sets[0]


def _refuse(place: str, sets: list[str]) -> None:
    if sets:
        shown = ", ".join(printable(name, 60) for name in sets[:5])
        raise FedstackError(
            ExitCode.DATA,
            f"There are {len(sets)} test sets at {place}: {shown}.",
            "Leave one (beside it a schema.json may lie), or give --test-data FILE.",
        )
    raise FedstackError(ExitCode.DATA, f"There is no test set at {place}.", _PUT.format(place=place))


def _make_room(folder: Path, needed: int, place: str) -> None:
    """Remove the test set of an earlier run, and find a disk that is too small before it is full."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if needed > (free := shutil.disk_usage(folder).free):
        raise FedstackError(
            ExitCode.DATA,
            f"The test set at {place} has {needed / 1e6:,.1f} MB, and this disk {free / 1e6:,.1f} MB free.",
            "Make room, or raise server.notebook_volume_gb in federation.yaml and deploy.",
        )


@contextmanager
def results_kept(settings: PlatformSettings, place: str, say: Callable[[str], None]) -> Iterator[None]:
    """Put what the run of the block leaves into a place in the end, whatever its verdict.

    Raises
    ------
    FedstackError
        When a run that went well could not be kept; beside a run's own failure that is a warning.
    """
    try:
        yield
    except BaseException:
        try:
            keep_results(settings, place, say)
        except FedstackError as error:
            say(f"warning: {error}")
        raise
    keep_results(settings, place, say)


def keep_results(settings: PlatformSettings, place: str, say: Callable[[str], None]) -> None:
    """Put the files that a run's report names into a place, and name each; without a report there are none.

    The checkpoint is for going on with a run, so that of a complete one stays behind.
    """
    report = report_of(settings)
    if report is None:
        return
    told = {label: name for label, name in report["files"].items() if label != "app"}
    if report["verdict"] == "COMPLETE":
        told.pop("checkpoint", None)
    names = [*told.values(), *report["files"].get("app", [])]
    target = f"{place}{settings.run_id}/"
    s3, (bucket, prefix) = _s3(), _parts(target)
    with _asking(
        f"The files of {settings.run_id} ({report['verdict']}) cannot be put into {target}",
        f"They are in {settings.out}: `aws s3 cp --recursive {settings.out} {target}`.",
    ):
        for name in names:
            if (settings.out / name).exists():  # a disk that was full may have had no room for it
                s3.upload_file(str(settings.out / name), bucket, prefix + name)
                say(f"kept  {target}{name}")


def report_of(settings: PlatformSettings) -> dict[str, Any] | None:
    """Return the report of this run and not of an earlier one."""
    try:
        report: dict[str, Any] = json.loads((settings.out / "report.json").read_text())
    except (OSError, ValueError):
        return None
    return report if report.get("run_id") == settings.run_id and "files" in report else None


def _s3() -> Any:
    import boto3

    return boto3.client("s3")


def _parts(place: str) -> tuple[str, str]:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    return bucket, prefix


@contextmanager
def _asking(
    what: str,
    remedy: str = "Look at the notebook's role and at the network's S3 endpoint: its stack has both.",
) -> Iterator[None]:
    from boto3.exceptions import Boto3Error

    try:
        yield
    except (ClientError, BotoCoreError, Boto3Error) as error:
        raise FedstackError(ExitCode.ENGINE, f"{what}: {printable(error, 300)}.", remedy) from error
