from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from runtime.contract import ExitCode, FedstackError
from runtime.mailbox import Mailbox


def test_a_certificate_is_read_where_it_was_posted(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/account"
    assert Mailbox(uri).read_certificate("run-1", "clinic") is None
    Mailbox(uri).post_certificate("run-1", "clinic", b"first")
    assert Mailbox(uri).read_certificate("run-1", "clinic") == b"first"
    assert (tmp_path / "account/run-1/clinic/certificate.pem").read_bytes() == b"first"


def test_runs_and_clients_do_not_see_each_other(tmp_path: Path) -> None:
    box = Mailbox(f"file://{tmp_path}")
    box.post_certificate("run-1", "clinic", b"mine")
    assert box.read_certificate("run-2", "clinic") is None
    assert box.read_certificate("run-1", "other") is None


def test_a_later_certificate_takes_the_place_of_an_earlier_one_and_nothing_else_stays(tmp_path: Path) -> None:
    box = Mailbox(f"file://{tmp_path}")
    box.post_certificate("run-1", "clinic", b"a longer first one")
    box.post_certificate("run-1", "clinic", b"second")
    assert box.read_certificate("run-1", "clinic") == b"second"
    assert [path.name for path in (tmp_path / "run-1/clinic").iterdir()] == ["certificate.pem"]


@pytest.mark.parametrize("uri", ["", "/tmp/box", "file://box", "file:/box", "s3", "https://host/box"])  # noqa: S108
def test_a_mailbox_that_is_no_folder_is_refused(uri: str) -> None:
    with pytest.raises(FedstackError, match="absolute/folder") as raised:
        Mailbox(uri)
    assert raised.value.code is ExitCode.CONFIG
    assert repr(uri) in raised.value.what


@pytest.fixture
def bucket() -> Iterator[str]:
    with mock_aws():
        boto3.client("s3", "us-east-1").create_bucket(Bucket="mail")
        yield "mail"


@pytest.mark.parametrize("prefix", ["", "/", "/cms", "/cms/"])
def test_a_bucket_is_a_mailbox_too(bucket: str, prefix: str) -> None:
    box = Mailbox(f"s3://{bucket}{prefix}")
    assert box.read_certificate("run-1", "clinic") is None
    box.post_certificate("run-1", "clinic", b"first")
    box.post_certificate("run-1", "clinic", b"second")
    assert box.read_certificate("run-1", "clinic") == b"second"
    (found,) = boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert found["Key"] == f"{prefix.strip('/')}/run-1/clinic/certificate.pem".lstrip("/")


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    lost = Mailbox("s3://another/cms")
    with pytest.raises(FedstackError, match="mailbox another cannot be read") as raised:
        lost.read_certificate("run-1", "clinic")
    assert raised.value.code is ExitCode.IDENTITY
    with pytest.raises(FedstackError, match="cannot be put into the mailbox another") as raised:
        lost.post_certificate("run-1", "clinic", b"x")
    assert raised.value.code is ExitCode.IDENTITY
