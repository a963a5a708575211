"""Notebook instances: what they are not allowed, and the scripts that they run."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from assembly import NORTH, SERVER, SOUTH, Template, of_type, one, plain, told_of

from cdk_app.constructs.notebook.notebook import on_start_script
from cdk_app.project import PACKAGES
from runtime.contract import INSTALLED_FILE, RUNNING_FILE

VALUES = {
    "BUNDLE_URI": "s3://bucket/key",
    "BUNDLE_SHA256": "0" * 64,
    "ROSTER_URI": "s3://bucket/roster",
    "IDLE_MINUTES": "60",
    "REGION": "eu-west-1",
    "NAME": "cms-server",
    "COMMANDS": "runtime.server.commands",
    "NOTEBOOK": "runtime/server/federation.ipynb",
}
TOLD = {"cidr": "10.0.0.0/24", "test_data": "s3://test/test/", "results": "s3://results/runs/"}


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
    script = on_start_script(VALUES, TOLD)
    assert f'echo "{"0" * 64}  /tmp/bundle.tar.gz" | sha256sum --check --quiet' in script
    assert script.index("sha256sum --check") < script.index("tar -xzf")


def test_a_value_that_the_start_script_has_no_place_for_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"on_start\.sh has no @OTHER@"):
        on_start_script({**VALUES, "OTHER": "x"}, TOLD)


SAYS = """import json, os, sys
print(json.dumps({"words": sys.argv[1:], "folder": os.getcwd(), "region": os.environ["AWS_DEFAULT_REGION"]}))
sys.exit(22)
"""


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
        self.command = root / "usr/local/bin/fedstack"
        for folder in (
            tools,
            root / "etc/systemd/system",
            root / "var/log",
            root / "tmp",
            self.home.parent,
            self.command.parent,
        ):
            folder.mkdir(parents=True)
        for name, body in self.STUBS.items():
            (tools / name).write_text(f"#!/bin/bash\n{body}\n")
            (tools / name).chmod(0o755)
        code = root / "code"
        (code / "runtime" / "server").mkdir(parents=True)
        (code / "requirements.txt").write_text("")
        (code / "runtime" / "server" / "commands.py").write_text(SAYS)
        (code / "runtime" / "server" / "federation.ipynb").write_text("as shipped")
        (code / "ipykernel.py").write_text("")  # as the server's bundle brings it
        with tarfile.open(root / "served", "w:gz") as bundle:
            bundle.add(code, ".")
        self.sha256 = hashlib.sha256((root / "served").read_bytes()).hexdigest()

    def start(self, changes: dict[str, str] | None = None, **environment: str) -> str:
        """Start the notebook; return what its runtime's status is, once it does not change any more."""
        changes = changes or {}
        script = on_start_script({**VALUES, "BUNDLE_SHA256": self.sha256, "ROSTER_URI": "", **changes}, TOLD)
        script = re.sub(
            r"(?<![\w.])/(opt/fedstack|etc/systemd|usr/local|home|var/log|tmp)/", rf"{self.root}/\1/", script
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
        **TOLD,
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


def said_by(machine: Machine, folder: Path, *words: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(machine.command), *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    assert machine.start() == "ready"
    return machine


def test_the_command_runs_the_bundle_s_own_code_in_any_folder_and_says_how_it_ended(
    started: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder of mine"
    (folder / "runtime" / "server").mkdir(parents=True)  # somebody's own package of that name
    (folder / "runtime" / "server" / "commands.py").write_text("raise SystemExit('mine')")
    code, said = said_by(started, folder, "run", "--out", "my out")
    assert code == 22
    asked = ["run", "--out", "my out"]
    assert json.loads(said) == {"words": asked, "folder": str(folder), "region": "eu-west-1"}
    elsewhere = said_by(started, folder, AWS_DEFAULT_REGION="eu-north-1")[1]
    assert json.loads(elsewhere)["region"] == "eu-north-1"


def test_the_bundle_s_environment_is_a_kernel_and_its_notebook_lies_beside_the_folder(
    started: Machine,
) -> None:
    file = started.root / "usr/local/share/jupyter/kernels/fedstack/kernel.json"
    kernel = json.loads(file.read_text())
    assert kernel["display_name"] == "Fedstack"
    assert kernel["argv"][0] == str(started.home / "venv" / "bin" / "python")
    assert kernel["argv"][1:] == ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert kernel["env"] == {"AWS_DEFAULT_REGION": "eu-west-1"}
    own = started.home.parent / "federation.ipynb"
    assert own.read_text() == "as shipped"
    for written, kept in (("mine", "mine"), ("as shipped", "as shipped by a later release")):
        own.write_text(written)
        (started.home / "bundle/runtime/server/federation.ipynb").write_text("as shipped by a later release")
        assert started.start() == "ready"
        assert own.read_text() == kept


@pytest.mark.parametrize("status", ["installing", "failed in line 9; see /var/log/fedstack-install.log"])
def test_the_command_says_what_the_notebook_waits_for(started: Machine, tmp_path: Path, status: str) -> None:
    file = started.home / "STATUS"
    before = file.read_text()
    file.write_text(f"2026-11-30T10:00:00Z {status}\n")
    code, said = said_by(started, tmp_path, "run")
    file.write_text(before)
    assert code == 10
    assert said.startswith("fedstack-error 10 CONFIG: This notebook is not ready: ")
    assert status in said


def test_a_notebook_that_runs_no_federation_has_no_such_command(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "served").write_bytes(b"no bundle: what is looked at is there before it")
    machine.start({"COMMANDS": ""})
    assert (tmp_path / "opt/fedstack/install.sh").exists()
    assert not machine.command.exists()


def test_the_server_s_notebook_is_told_its_buckets_and_its_network(templates: dict[str, Template]) -> None:
    told = told_of(templates[SERVER])
    assert told["cidr"] == "10.0.0.0/24"
    outputs = {name: plain(found["Value"]) for name, found in templates[SERVER]["Outputs"].items()}
    assert told["test_data"] == f"s3://{outputs['TestDataBucket']}/test/"
    assert told["results"] == f"s3://{outputs['ResultsBucket']}/runs/"


def auto_stop(monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    from cdk_app.lifecycle import auto_stop as script

    seen: dict[str, Any] = {"stopped": [], "kernels": [], "terminal": None}
    monkeypatch.setattr(script, "STATE", folder / "last-busy")

    def stamp(minutes: int) -> str:
        return (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)).strftime("%FT%TZ")

    def jupyter(path: str) -> list[dict[str, Any]]:
        if seen["kernels"] is None:
            raise ConnectionRefusedError("nobody listens")
        if path == "/api/sessions":
            return [
                {"kernel": {"execution_state": state, "last_activity": stamp(minutes)}}
                for state, minutes in seen["kernels"]
            ]
        return [] if seen["terminal"] is None else [{"last_activity": stamp(seen["terminal"])}]

    monkeypatch.setattr(script, "jupyter", jupyter)
    monkeypatch.setattr("subprocess.run", lambda command, **_: seen["stopped"].append(command))
    words = [
        "--name",
        "cms",
        "--region",
        "eu-west-1",
        "--minutes",
        "60",
        "--lock",
        str(folder / RUNNING_FILE),
    ]
    monkeypatch.setattr("sys.argv", ["auto_stop.py", *words])
    seen["main"] = script.main
    return seen


@pytest.mark.parametrize(
    ("kernels", "terminal", "stops"),
    [
        ([], None, True),
        ([("idle", 90)], None, True),
        ([("dead", 90)], None, True),
        ([("starting", 90)], None, True),
        ([], 90, True),
        (None, None, True),
        ([], 5, False),
        ([("idle", 90), ("busy", 90)], None, False),
        ([("idle", 5)], None, False),
    ],
    ids=[
        "nothing",
        "idle kernel",
        "dead kernel",
        "kernel that nobody met",
        "idle terminal",
        "no Jupyter",
        "terminal",
        "kernel at work",
        "kernel in use",
    ],
)
def test_a_notebook_stops_itself_only_when_nothing_has_run_for_long(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kernels: list[tuple[str, int]] | None,
    terminal: int | None,
    stops: bool,
) -> None:
    seen = auto_stop(monkeypatch, tmp_path)
    seen["main"]()
    assert seen["stopped"] == []
    (tmp_path / "last-busy").write_text("0")
    seen.update(kernels=kernels, terminal=terminal)
    seen["main"]()
    assert bool(seen["stopped"]) is stops


RUNS = """import pathlib, sys, time
from runtime.server.notebook.place import ServerNotebook
told = {"cidr": "10.0.0.0/24", "test_data": "s3://test/test/", "results": "s3://results/runs/"}
with ServerNotebook(home=pathlib.Path(sys.argv[1]), **told).busy():
    print("runs", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def a_run(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start what holds a run's lock, from another folder and detached, as `nohup fedstack run &` is."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUNS, str(tmp_path), "600"]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
        process = subprocess.Popen(
            command, cwd="/", env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "runs\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_notebook_does_not_stop_itself_under_a_run_and_does_after_the_last_one_was_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, a_run: Callable[[], subprocess.Popen[str]]
) -> None:
    """However a run was started, and whether or not Jupyter answers; a lock that is left behind is no run."""
    first, second = a_run(), a_run()
    seen = auto_stop(monkeypatch, tmp_path)
    without_jupyter: list[Any] = [None, []]
    for alive in (True, True, False):
        for kernels in without_jupyter:
            seen["kernels"] = kernels
            (tmp_path / "last-busy").write_text("0")
            seen["main"]()
            assert bool(seen["stopped"]) is not alive
        if first.poll() is None:
            first.kill()
            first.wait()
        else:
            second.kill()
            second.wait()
    assert (tmp_path / RUNNING_FILE).exists()


def test_the_script_that_stops_a_notebook_looks_at_the_lock_that_runs_hold() -> None:
    script = on_start_script(VALUES, TOLD)
    assert f"--lock /home/ec2-user/SageMaker/fedstack/{RUNNING_FILE}\n" in script
