"""The rehearsal without AWS, as its command line runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import blocks

from runtime.contract import ExitCode


def rehearse(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedstack", "demo", "--local", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run with noise, in sums."""
    out = tmp_path_factory.mktemp("private")
    return out, rehearse(f"--out={out}", "--rounds=3", "--privacy-epsilon=8", "--updates=sums")


def test_a_private_run_over_processes_is_compared_with_pooling(
    private: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    out, done = private
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert (report["verdict"], len(report["clients"])) == ("COMPLETE", 3)
    assert report["privacy"]["updates"] == "sums"
    assert report["privacy"]["differential_privacy"]["epsilon"] == pytest.approx(8.0)
    assert report["pooled"]["roc_auc"] > 0.8
    assert "of pooling the data" in done.stdout


def test_the_tutorial_s_commands_use_the_model_and_check_the_evidence_as_they_stand_there(
    private: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    typed = [
        block.text for block in blocks() if block.page == "docs/tutorial.md" and "out/accounts/" in block.text
    ]
    assert len(typed) == 2
    said = []
    for text in typed:
        line = text.replace(".venv/bin/python", sys.executable).replace("out/accounts", str(private[0]))
        done = subprocess.run(["bash", "-e", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert sum(map(float, said[0].strip("[] \n").split())) == pytest.approx(1.0)
    assert "whole" in said[1]


def test_there_is_nothing_to_keep_without_accounts(tmp_path: Path) -> None:
    done = rehearse(f"--out={tmp_path / 'out'}", "--keep")
    assert done.returncode == ExitCode.CONFIG
    assert "There are no accounts to leave up" in done.stderr
    assert not (tmp_path / "out").exists()
