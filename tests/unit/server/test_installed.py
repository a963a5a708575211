"""A notebook that was started before the last deployment is told so when a run starts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from cdk_app.constructs.notebook.notebook import on_start_script
from runtime.contract import INSTALLED_FILE
from runtime.server.installed import stale

VALUES = {
    "BUNDLE_URI": "s3://assets/1.gz",
    "BUNDLE_SHA256": "1" * 64,
    "ROSTER_URI": "s3://assets/1.json",
    "IDLE_MINUTES": "60",
    "REGION": "eu-west-1",
    "NAME": "cms-server",
    "COMMANDS": "runtime.server.commands",
    "NOTEBOOK": "runtime/server/federation.ipynb",
}
TOLD = {"cidr": "10.0.0.0/24", "test_data": "s3://test/test/", "results": "s3://results/runs/"}
Deploy = Callable[..., None]


@pytest.fixture
def deploy() -> Iterator[Deploy]:
    """Put the start script of a deployment where the account's stack puts it."""
    with mock_aws():
        sagemaker = boto3.client("sagemaker", "eu-west-1")
        name = {"NotebookInstanceLifecycleConfigName": VALUES["NAME"]}

        def deployed(**changes: str) -> None:
            with suppress(ClientError):
                sagemaker.delete_notebook_instance_lifecycle_config(**name)
            script = base64.b64encode(on_start_script({**VALUES, **changes}, TOLD).encode()).decode()
            sagemaker.create_notebook_instance_lifecycle_config(**name, OnStart=[{"Content": script}])

        deployed()
        yield deployed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a start with that script leaves; test_notebook.py runs it."""
    line = re.search(r"<<'INSTALLED'\n(.*?\n)INSTALLED\n", on_start_script(VALUES, TOLD), re.DOTALL)
    assert line
    (tmp_path / INSTALLED_FILE).write_text(line[1])
    return tmp_path


@pytest.mark.usefixtures("deploy")
def test_a_notebook_that_has_what_is_deployed_is_told_nothing(folder: Path) -> None:
    assert stale(folder) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ROSTER_URI": "s3://assets/2.json"}, [r"roster: clients were added"]),
        ({"BUNDLE_SHA256": "2" * 64, "BUNDLE_URI": "s3://assets/2.gz"}, [r"bundle: another bundle"]),
        ({"ROSTER_URI": "s3://assets/2.json", "BUNDLE_SHA256": "2" * 64}, [r"roster: ", r"bundle: "]),
        ({"IDLE_MINUTES": "30"}, []),
    ],
)
def test_what_was_deployed_since_is_named_with_what_to_do(
    deploy: Deploy, folder: Path, changes: dict[str, str], said: list[str]
) -> None:
    deploy(**changes)
    lines = stale(folder)
    assert len(lines) == len(said)
    for line, beginning in zip(lines, said, strict=True):
        assert re.match(beginning, line)
        assert "stop the notebook and start it" in line


@pytest.mark.usefixtures("deploy")
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"notebook": "another", "region": "eu-west-1"}', "ValidationException|ClientError"),
        ("not JSON", "JSONDecodeError"),
        ("{}", "KeyError"),
    ],
)
def test_what_cannot_be_compared_is_said_and_ends_nothing(folder: Path, content: str, why: str) -> None:
    (folder / INSTALLED_FILE).write_text(content)
    [line] = stale(folder)
    assert re.match(rf"cannot tell whether roster and bundle are those .*\(({why}): ", line)


def test_off_a_notebook_nobody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "federation.json").write_text(json.dumps({}))
    assert stale(tmp_path) == []  # without AWS: a call would fail, and be told
