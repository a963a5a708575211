"""Notebook instances: what they are not allowed, and the scripts that they run."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from assembly import NORTH, SERVER, SOUTH, Template, of_type, one, plain

from cdk_app.constructs.notebook.notebook import on_start_script

VALUES = {
    "BUNDLE_URI": "s3://bucket/key",
    "BUNDLE_SHA256": "0" * 64,
    "ROSTER_URI": "s3://bucket/roster",
    "IDLE_MINUTES": "60",
    "REGION": "eu-west-1",
    "NAME": "cms-server",
}


@pytest.mark.parametrize("stack", [SERVER, NORTH])
def test_a_notebook_has_no_internet_no_root_and_an_encrypted_volume(
    templates: dict[str, Template], stack: str
) -> None:
    notebook = one(templates[stack], "SageMaker::NotebookInstance")
    assert notebook["PlatformIdentifier"] == "notebook-al2023-v1"
    assert notebook["DirectInternetAccess"] == "Disabled"
    assert notebook["RootAccess"] == "Disabled"
    assert notebook["InstanceMetadataServiceConfiguration"] == {"MinimumInstanceMetadataServiceVersion": "2"}
    assert plain(notebook["KmsKeyId"]) == "<KeysDataA2F7C5E6>"
    assert notebook["VolumeSizeInGB"] == 20
    assert notebook["SubnetId"]
    assert notebook["SecurityGroupIds"]


def test_a_client_that_wants_no_notebook_has_none(templates: dict[str, Template]) -> None:
    assert of_type(templates[SOUTH], "SageMaker::NotebookInstance") == {}


@pytest.mark.parametrize("stack", [SERVER, NORTH])
def test_the_start_script_is_valid_and_fits(templates: dict[str, Template], stack: str) -> None:
    content = one(templates[stack], "SageMaker::NotebookInstanceLifecycleConfig")["OnStart"][0]["Content"]
    script = plain(content["Fn::Base64"])
    assert len(base64.b64encode(script.encode())) <= 16_384
    assert not re.search(r"@[A-Z0-9_]+@", script)
    subprocess.run(["/bin/bash", "-n"], input=script, text=True, check=True)


def test_the_start_script_checks_the_bundle_before_it_unpacks_it() -> None:
    script = on_start_script(VALUES)
    assert f'echo "{"0" * 64}  /tmp/bundle.tar.gz" | sha256sum --check --quiet' in script
    assert script.index("sha256sum --check") < script.index("tar -xzf")


def test_a_value_that_the_start_script_has_no_place_for_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"on_start\.sh has no @OTHER@"):
        on_start_script({**VALUES, "OTHER": "x"})


def auto_stop(monkeypatch: pytest.MonkeyPatch, state: Path) -> dict[str, Any]:
    from cdk_app.lifecycle import auto_stop as script

    seen: dict[str, Any] = {"stopped": [], "running": False, "kernels": []}
    monkeypatch.setattr(script, "STATE", state)
    monkeypatch.setattr(script, "federation_runs", lambda: seen["running"])
    kernels = lambda _: [{"kernel": {"execution_state": state}} for state in seen["kernels"]]  # noqa: E731
    monkeypatch.setattr(script, "jupyter", kernels)
    monkeypatch.setattr("subprocess.run", lambda command, **_: seen["stopped"].append(command))
    monkeypatch.setattr(
        "sys.argv", ["auto_stop.py", "--name", "cms", "--region", "eu-west-1", "--minutes", "60"]
    )
    seen["main"] = script.main
    return seen


@pytest.mark.parametrize(
    ("running", "kernels", "stops"),
    [(False, [], True), (False, ["idle"], True), (True, [], False), (False, ["idle", "busy"], False)],
)
def test_a_notebook_stops_itself_only_when_nothing_has_run_for_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, running: bool, kernels: list[str], stops: bool
) -> None:
    state = tmp_path / "last-busy"
    seen = auto_stop(monkeypatch, state)
    seen["main"]()
    assert seen["stopped"] == []
    state.write_text("0")
    seen.update(running=running, kernels=kernels)
    seen["main"]()
    assert bool(seen["stopped"]) is stops
