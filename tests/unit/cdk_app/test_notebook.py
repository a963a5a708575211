"""Notebook instances: what they are not allowed, and the scripts that they run."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from assembly import NORTH, SERVER, SOUTH, Template, of_type, one, plain

from cdk_app.constructs.notebook.notebook import on_start_script
from runtime.contract import INSTALLED_FILE

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


class Machine:
    """A root of its own for the start script, with stubs of what only the notebook has."""

    STUBS: ClassVar = {
        "aws": 'echo "aws $*" >> "$ROOT/calls"; for last; do :; done; cp "$ROOT/served" "$last"',
        "systemctl": 'echo "systemctl $*" >> "$ROOT/calls"; exit "${SYSTEMCTL:-0}"',
        "dnf": 'echo "dnf $*" >> "$ROOT/calls"',
        "sudo": 'shift 2; exec "$@"',
        "chown": "exit 0",
        "install": 'mkdir -p "${@: -1}"',
        "python3.12": f'exec {sys.executable} "$@"',
    }

    def __init__(self, root: Path) -> None:
        self.root, tools = root, root / "stubs"
        self.home = root / "home" / "ec2-user" / "SageMaker" / "fedstack"
        for folder in (tools, root / "etc/systemd/system", root / "var/log", root / "tmp", self.home.parent):
            folder.mkdir(parents=True)
        for name, body in self.STUBS.items():
            (tools / name).write_text(f"#!/bin/bash\n{body}\n")
            (tools / name).chmod(0o755)
        (root / "code").mkdir()
        (root / "code" / "requirements.txt").write_text("")
        (root / "code" / "runtime.py").write_text("")
        with tarfile.open(root / "served", "w:gz") as bundle:
            for name in ("requirements.txt", "runtime.py"):
                bundle.add(root / "code" / name, name)
        self.sha256 = hashlib.sha256((root / "served").read_bytes()).hexdigest()

    def start(self, **environment: str) -> str:
        """Start the notebook; return what its runtime's status is, once it does not change any more."""
        script = on_start_script({**VALUES, "BUNDLE_SHA256": self.sha256, "ROSTER_URI": ""})
        script = re.sub(
            r"(?<![\w.])/(opt/fedstack|etc/systemd|home|var/log|tmp)/", rf"{self.root}/\1/", script
        )
        script = script.replace("/opt/fedstack\n", f"{self.root}/opt/fedstack\n")
        own = {"PATH": f"{self.root}/stubs:/usr/bin:/bin", "ROOT": str(self.root), **environment}
        (self.home / "STATUS").unlink(missing_ok=True)
        subprocess.run(["/bin/bash", "-c", script], env=own, check=True, cwd=self.root, timeout=60)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status = (self.home / "STATUS").read_text() if (self.home / "STATUS").exists() else "installing"
            if "installing" not in status and status:
                return status.partition(" ")[2].strip()
            time.sleep(0.1)
        raise AssertionError((self.root / "var/log/fedstack-install.log").read_text())

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()


def test_a_notebook_has_its_runtime_after_every_start(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.start() == "ready"
    python = machine.home / "venv" / "bin" / "python"
    subprocess.run([str(python), "-c", "import runtime"], check=True)
    timer = (tmp_path / "etc/systemd/system/fedstack-auto-stop.timer").read_text()
    assert "OnUnitActiveSec=5min" in timer
    assert "systemctl enable --now fedstack-auto-stop.timer" in machine.calls
    installed = json.loads((machine.home / INSTALLED_FILE).read_text())
    assert installed == {
        "notebook": "cms-server",
        "region": "eu-west-1",
        "roster": "",
        "bundle": machine.sha256,
    }
    assert not (tmp_path / "etc/cron.d").exists()
    fetched = sum(call.startswith("aws s3 cp") for call in machine.calls)
    assert machine.start() == "ready"
    assert sum(call.startswith("aws s3 cp") for call in machine.calls) == fetched, "it was there already"


def test_a_start_without_a_timer_is_one_all_the_same(tmp_path: Path) -> None:
    assert Machine(tmp_path).start(SYSTEMCTL="1") == "ready"


def test_a_bundle_that_is_not_the_stack_s_is_not_unpacked_and_the_status_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "served").write_bytes(b"something else")
    assert re.fullmatch(r"failed in line \d+; see \S+fedstack-install\.log", machine.start())
    assert not (machine.home / "bundle").exists()
    assert not (machine.home / INSTALLED_FILE).exists()


def auto_stop(monkeypatch: pytest.MonkeyPatch, state: Path) -> dict[str, Any]:
    from cdk_app.lifecycle import auto_stop as script

    seen: dict[str, Any] = {"stopped": [], "running": False, "kernels": [], "terminal": None}
    monkeypatch.setattr(script, "STATE", state)
    monkeypatch.setattr(script, "federation_runs", lambda: seen["running"])

    def jupyter(path: str) -> list[dict[str, Any]]:
        if seen["kernels"] is None:
            raise ConnectionRefusedError("nobody listens")
        if path == "/api/sessions":
            return [{"kernel": {"execution_state": state}} for state in seen["kernels"]]
        then = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=seen["terminal"] or 0)
        return [] if seen["terminal"] is None else [{"last_activity": then.strftime("%FT%TZ")}]

    monkeypatch.setattr(script, "jupyter", jupyter)
    monkeypatch.setattr("subprocess.run", lambda command, **_: seen["stopped"].append(command))
    monkeypatch.setattr(
        "sys.argv", ["auto_stop.py", "--name", "cms", "--region", "eu-west-1", "--minutes", "60"]
    )
    seen["main"] = script.main
    return seen


@pytest.mark.parametrize(
    ("running", "kernels", "terminal", "stops"),
    [
        (False, [], None, True),
        (False, ["idle"], None, True),
        (False, [], 90, True),
        (False, None, None, True),
        (False, [], 5, False),
        (True, [], None, False),
        (True, None, None, False),
        (False, ["idle", "busy"], None, False),
    ],
    ids=[
        "nothing",
        "idle kernel",
        "idle terminal",
        "no Jupyter",
        "terminal",
        "run",
        "run, no Jupyter",
        "kernel",
    ],
)
def test_a_notebook_stops_itself_only_when_nothing_has_run_for_long(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    running: bool,
    kernels: list[str] | None,
    terminal: int | None,
    stops: bool,
) -> None:
    state = tmp_path / "last-busy"
    seen = auto_stop(monkeypatch, state)
    seen["main"]()
    assert seen["stopped"] == []
    state.write_text("0")
    seen.update(running=running, kernels=kernels, terminal=terminal)
    seen["main"]()
    assert bool(seen["stopped"]) is stops


@pytest.mark.parametrize("file", ["cmdline", "maps"])
def test_a_federation_is_known_by_what_it_was_started_with_or_has_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    """By a relative path nothing of the bundle's place is in the command line."""
    from cdk_app.lifecycle import auto_stop as script

    monkeypatch.setattr(script, "PROCESSES", tmp_path)
    for name in ("cmdline", "maps"):
        (tmp_path / "12").mkdir(exist_ok=True)
        (tmp_path / "12" / name).write_text("python server.py")
    assert not script.federation_runs()
    library = "/home/ec2-user/SageMaker/fedstack/venv/lib/python3.12/site-packages/numpy/core.so"
    (tmp_path / "12" / file).write_text(library)
    assert script.federation_runs()
