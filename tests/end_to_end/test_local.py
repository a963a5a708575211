"""The rehearsal without AWS, as its command line runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.contract import ExitCode


def rehearse(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedstack", "demo", "--local", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def test_a_private_run_over_processes_is_compared_with_pooling(tmp_path: Path) -> None:
    done = rehearse(f"--out={tmp_path}", "--rounds=3", "--privacy-epsilon=8", "--updates=sums")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["verdict"], len(report["clients"])) == ("COMPLETE", 3)
    assert report["privacy"]["updates"] == "sums"
    assert report["privacy"]["differential_privacy"]["epsilon"] == pytest.approx(8.0)
    assert report["pooled"]["roc_auc"] > 0.8
    assert "of pooling the data" in done.stdout


def test_there_is_nothing_to_keep_without_accounts(tmp_path: Path) -> None:
    done = rehearse(f"--out={tmp_path / 'out'}", "--keep")
    assert done.returncode == ExitCode.CONFIG
    assert "There are no accounts to leave up" in done.stderr
    assert not (tmp_path / "out").exists()
