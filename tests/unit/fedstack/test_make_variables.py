"""What make's own command line may say: told before a virtual environment is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from assembly import ROOT

from fedstack import choices
from fedstack.make_variables import CHECKS, TARGETS, faults, names_of
from runtime.contract import Updates
from runtime.server.settings import Engine
from runtime.tabular import models
from runtime.tabular.data.silos import Split
from runtime.tabular.strategies.catalogue import STRATEGIES


def told(*goals: str, **values: str) -> list[str]:
    return list(faults(list(values), list(goals or ("demo",)), values))


def test_the_words_read_from_the_sources_are_those_of_the_modules() -> None:
    assert choices.models() == sorted(models.names())
    assert choices.strategies() == sorted(STRATEGIES)
    assert choices.splits() == [split.value for split in Split]
    assert choices.engines() == [engine.value for engine in Engine]
    assert choices.updates() == [updates.value for updates in Updates]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"STRATEGYY": "x"}, "There is no variable STRATEGYY. Did you mean 'STRATEGY'?"),
        ({"strategy": "fedavg"}, "Did you mean 'STRATEGY'?"),
        ({"CLIENT": "3"}, "it is of handoff, live. Did you mean 'CLIENTS'?"),
        ({"STRATEGY": "fedvag"}, "Did you mean 'fedavg'?"),
        ({"MODEL": "Logistic"}, "Did you mean 'logistic'?"),
        ({"SPLIT": "fature"}, "Did you mean 'feature'?"),
        ({"ENGINE": "lnik"}, "Did you mean 'link'?"),
        ({"UPDATES": "sum"}, "Did you mean 'sums'?"),
        ({"UPDATES": "qqq"}, "There are sums, noise, plain."),
        ({"CLIENTS": "0"}, "no whole number from 1"),
        ({"CLIENTS": "three"}, "no whole number from 1"),
        ({"CLIENTS": "2.5"}, "no whole number from 1"),
        ({"ROUNDS": "-1"}, "no whole number from 1"),
        ({"SEED": "lucky"}, "no whole number from 0"),
        ({"EPSILON": "0"}, "not above 0"),
        ({"EPSILON": "-3"}, "not above 0"),
        ({"EPSILON": "nan"}, "not above 0"),
        ({"EPSILON": "much"}, "no number"),
        ({"THRESHOLD_FOR": "recall"}, "Say recall=0.8, precision=0.5"),
        ({"THRESHOLD_FOR": "recall=80"}, "nothing that a threshold can be chosen for"),
        ({"THRESHOLD_FOR": "cost=1:0"}, "nothing that a threshold can be chosen for"),
        ({"KEEP": "perhaps"}, "neither on nor off"),
        ({"DATA": "no.csv"}, "does not exist"),
        ({"DATA": "docs"}, "is a folder"),
        ({"APP": "docs"}, "no pyproject.toml"),
        ({"CLIENTS": "\uff13"}, "no whole number from 1"),
        ({"SEED": "4294967296"}, "no whole number from 0 to 4294967295"),
        ({"ROUNDS": "9" * 5000}, "no whole number from 1 to 10000"),
        ({"EPSILON": "1e400"}, "not above 0"),
        ({"Epsilon": "3"}, "Did you mean 'EPSILON'?"),
        ({"Out": "x"}, "Did you mean 'OUT'?"),
        ({"OUT": ""}, "OUT is empty"),
        ({"OUT": "/dev/null/x"}, "no folder"),
        ({"OUT": "Makefile"}, "no folder"),
        ({"OUT": "Makefile/deep"}, "no folder"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_told(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], what: str
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("APP", raising=False)
    (only,) = told(**values)
    assert what in only


def test_what_the_readme_says_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "a file.csv").touch()
    assert not told(DATA=str(tmp_path / "a file.csv"), OUT=str(tmp_path / "a b" / "c"), CLIENTS="3")
    assert not told(EPSILON="3", UPDATES="sums", KEEP="1", SEED="0", SPLIT="size", ENGINE="simulation")
    assert not told("handoff", CLIENT="north", SIGN="key", FEDERATION="federation.yaml")
    assert not told("demo", "test", CLIENTS="4")
    assert told("test", CLIENTS="4") == ["`make test` has no variable CLIENTS: it is of demo."]


def test_every_variable_that_is_checked_is_one_of_a_target() -> None:
    assert set(CHECKS) <= {name for names in TARGETS.values() for name in names} | {"OUT"}


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("", []),
        ("k", []),
        (" -- OUT=out CLIENTS=3", ["OUT", "CLIENTS"]),
        ("k -j2 --jobserver-auth=3,4 -- DATA=my\\ file.csv OUT:=x", ["DATA", "OUT"]),
        (" -- A=b\\\\ B=c=d", ["A", "B"]),
    ],
)
def test_names_are_read_from_makes_flags(flags: str, names: list[str]) -> None:
    assert names_of(flags) == names


def make(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", f"PYTHON={sys.executable}", *words]
    return subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="this machine has no make")
def test_make_refuses_before_it_sets_anything_up_and_prints_the_code() -> None:
    done = make("demo", "STRATEGY=fedvag", "CLIENT=3", "OUT=a b")
    assert done.returncode == 2  # make's own, whatever went wrong
    assert "fedstack-error 10 CONFIG: STRATEGY is 'fedvag'" in done.stderr
    assert "Did you mean 'CLIENTS'?" in done.stderr
    assert "Error 10" in done.stderr
    assert "setting up" not in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="this machine has no make")
def test_values_reach_the_command_line_whole() -> None:
    done = make("-n", "demo", "OUT=a 'b' $$(c)", "KEEP=0", "CLIENTS=4")
    command = next(line for line in done.stdout.splitlines() if line.startswith(".venv/bin/fedstack demo"))
    assert command.split() == [".venv/bin/fedstack", "demo", "--out", '"$OUT"', "--clients", '"$CLIENTS"']
    assert "requirements-demo.txt" in done.stdout or (ROOT / ".venv" / "ready").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="this machine has no make")
@pytest.mark.parametrize(
    ("goals", "lock"),
    [
        (["demo"], "demo"),
        (["bundle"], "demo"),
        (["setup"], "dev"),
        (["test"], "dev"),
        (["demo", "test"], "dev"),
    ],
)
def test_each_goal_installs_one_lock_and_the_whole_one_is_never_taken_back(
    tmp_path: Path, goals: list[str], lock: str
) -> None:
    """`make setup` once installed the tests' packages, then the demo's alone."""
    for name in (
        "Makefile",
        "infra.mk",
        "requirements-demo.txt",
        "requirements-dev.txt",
        "package-lock.json",
    ):
        shutil.copy(ROOT / name, tmp_path)
    done = make("-n", *goals, folder=tmp_path)
    assert [line.split()[5] for line in done.stdout.splitlines() if line.startswith('echo "setting up')] == [
        f"requirements-{lock}.txt"
    ]
