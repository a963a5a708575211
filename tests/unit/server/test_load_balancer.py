"""The server behind a load balancer: registered while a run goes on, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from runtime.contract import ExitCode, FedstackError
from runtime.server.jobs.load_balancer import registered
from runtime.server.notebook.place import ServerNotebook
from runtime.server.settings import PlatformSettings

REGION = "eu-west-1"


@pytest.fixture
def group() -> Iterator[str]:
    with mock_aws():
        vpc = boto3.client("ec2", region_name=REGION).create_vpc(CidrBlock="10.0.0.0/24")["Vpc"]["VpcId"]
        made = boto3.client("elbv2", region_name=REGION).create_target_group(
            Name="server", Protocol="TCP", Port=9092, VpcId=vpc, TargetType="ip"
        )
        yield made["TargetGroups"][0]["TargetGroupArn"]


def targets(group: str) -> list[tuple[str, int]]:
    found = boto3.client("elbv2", region_name=REGION).describe_target_health(TargetGroupArn=group)
    return [(each["Target"]["Id"], each["Target"]["Port"]) for each in found["TargetHealthDescriptions"]]


class Notes(list[tuple[str, dict[str, Any]]]):
    def __call__(self, kind: str, **details: Any) -> None:
        self.append((kind, details))


def test_it_is_the_target_for_the_time_of_a_run(group: str) -> None:
    notes = Notes()
    with registered(group, "10.0.0.7:9092", notes):
        assert targets(group) == [("10.0.0.7", 9092)]
    assert targets(group) == []
    assert notes == [("target_registered", {"address": "10.0.0.7:9092"})]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_however_the_run_ends(group: str, error: type[BaseException]) -> None:
    with pytest.raises(error), registered(group, "10.0.0.7:9092", Notes()):
        raise error
    assert targets(group) == []


def test_a_group_that_is_not_there_is_told_before_any_client_waits(group: str) -> None:
    boto3.client("elbv2", region_name=REGION).delete_target_group(TargetGroupArn=group)
    with (
        pytest.raises(FedstackError, match=r"10\.0\.0\.7:9092 cannot be registered") as raised,
        registered(group, "10.0.0.7:9092", Notes()),
    ):
        pytest.fail("the run went on")
    assert raised.value.code is ExitCode.CONFIG


def test_a_target_that_cannot_be_taken_away_is_noted_and_ends_no_run(group: str) -> None:
    notes = Notes()
    with registered(group, "10.0.0.7:9092", notes):
        boto3.client("elbv2", region_name=REGION).delete_target_group(TargetGroupArn=group)
    assert [kind for kind, _ in notes] == ["target_registered", "target_left"]


def test_without_a_group_nothing_is_called() -> None:
    with registered("", "10.0.0.7:9092", Notes()):
        pass


def test_a_notebook_that_was_told_a_group_passes_it_on_and_no_other_does(tmp_path: Path) -> None:
    told = {"cidr": "127.0.0.1/32", "test_data": "s3://b/test/", "results": "s3://b/runs/", "home": tmp_path}
    arn = "arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/a/0123"
    for more, expected in ({"target_group": arn}, arn), ({}, None):
        notebook = ServerNotebook.model_validate({**told, **more})
        given = notebook.defaults({"test_data": "x"}, needs_test_data=False)
        assert given.get("target_group") == expected


@pytest.mark.parametrize("group", ["x", "arn:aws:s3:::b", "arn:aws:elasticloadbalancing:r:1:targetgroup/a"])
def test_what_is_no_target_group_is_refused(group: str) -> None:
    with pytest.raises(ValueError, match="target_group"):
        PlatformSettings.model_validate({"clients": [{"name": "a1", "mailbox": "m"}], "target_group": group})
