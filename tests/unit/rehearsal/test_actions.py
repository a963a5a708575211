"""What the emulated AWS asks IAM before a call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from rehearsal.aws.actions import needs
from rehearsal.aws.policy import Decision, evaluate
from rehearsal.aws.principals import Principal
from rehearsal.aws.protocol import Call

BOX, PREFIX = "arn:aws:s3:::box", {"StringLike": {"s3:prefix": ["cms/*"]}}
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{BOX}/cms/*"}
LIST = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": BOX}


@pytest.fixture
def box() -> Iterator[None]:
    with mock_aws():
        s3 = boto3.client("s3", "us-east-1")
        s3.create_bucket(Bucket="box")
        s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
        for name in ("there", "deleted"):
            s3.put_object(Bucket="box", Key=f"cms/{name}", Body=b"x")
        s3.delete_object(Bucket="box", Key="cms/deleted")
        yield


def reading(key: str, how: str = "GET") -> Call:
    place: dict[str, Any] = {"Bucket": "box", "Key": key, "Query": {}, "IfNoneMatch": None, "CopySource": ""}
    return Call("s3", how, place, "us-east-1", Principal("123456789012", "arn:aws:iam::123456789012:user/x"))


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("how", ["GET", "HEAD"])
@pytest.mark.parametrize("key", ["cms/there", "cms/missing", "cms/deleted"])
@pytest.mark.parametrize(
    ("policy", "tells"),
    [([READ], False), ([READ, {**LIST, "Condition": PREFIX}], False), ([READ, LIST], True)],
    ids=["read only", "list by prefix", "list"],
)
def test_only_who_may_list_a_bucket_is_told_that_an_object_is_missing(
    how: str, key: str, policy: list[object], tells: bool
) -> None:
    """S3 checks s3:ListBucket with the read's own context, in which there is no prefix."""
    decisions = {evaluate([{"Statement": policy}], need.request) for need in needs(reading(key, how))}
    assert (decisions == {Decision.ALLOW}) is (tells or key == "cms/there")


def test_a_version_of_a_model_needs_its_group_and_itself() -> None:
    who = Principal("123456789012", "arn:aws:iam::123456789012:user/x")
    asked = needs(Call("sagemaker", "CreateModelPackage", {"ModelPackageGroupName": "cms"}, "eu-west-1", who))
    place = "arn:aws:sagemaker:eu-west-1:123456789012"
    group, version = ("model-package-group/cms", "model-package/cms/*")
    assert [need.request.resource for need in asked] == [f"{place}:{group}", f"{place}:{version}"]
    for operation in ("CreateModelPackageGroup", "DescribeModelPackageGroup", "ListModelPackages"):
        (need,) = needs(Call("sagemaker", operation, {"ModelPackageGroupName": "cms"}, "eu-west-1", who))
        assert need.request.resource == f"{place}:{group}"
