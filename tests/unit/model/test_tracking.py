"""A run in MLflow."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from model_run import ModelRun

from runtime.contract import FedstackError
from runtime.ledger import head, of_model
from runtime.server.model.tracking import metrics_of, track

LOOK = """
import json, sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
(experiment,) = [e for e in client.search_experiments() if e.name == "cms"]
runs = client.search_runs([experiment.experiment_id])
run = runs[0]
names = [a.path for a in client.list_artifacts(run.info.run_id)]
history = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "test_roc_auc")]
print(json.dumps({"runs": len(runs), "params": run.data.params, "tags": run.data.tags, "files": names,
                  "final": run.data.metrics["final_roc_auc"], "history": history, "status": run.info.status}))
"""


def test_a_run_is_logged_once_with_settings_metrics_digests_and_files(
    model_run: ModelRun, tmp_path: Path
) -> None:
    """In processes of their own: MLflow's import takes longer than all of the rest, and warns."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = ["track", str(model_run.out), "--uri", uri, "--json"]
    twice = (
        "import sys; from runtime.server.model.command import cli\n"
        "for _ in range(2): cli(sys.argv[1:], standalone_mode=False)"
    )
    run = subprocess.run([sys.executable, "-c", twice, *words], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    first, second = (json.loads(line) for line in run.stdout.splitlines() if line.startswith("{"))
    assert (first["again"], second) == (False, {**first, "again": True})
    shown = subprocess.run([sys.executable, "-c", LOOK, uri], capture_output=True, text=True, cwd=tmp_path)
    told = json.loads(shown.stdout.splitlines()[-1])
    report = json.loads((model_run.out / "report.json").read_text())
    assert (told["runs"], told["status"]) == (1, "FINISHED")
    assert {"strategy": "fedavg", "rounds": "3"}.items() <= told["params"].items()
    assert told["history"] == [[entry["round"], entry["test"]["roc_auc"]] for entry in report["rounds"]]
    assert told["final"] == report["final"]["roc_auc"]
    assert told["tags"]["fedstack.ledger_head"] == head(model_run.out / "ledger.jsonl")
    assert (
        told["tags"]["fedstack.model_sha256"] == of_model(model_run.out / "model.joblib")["model_file_sha256"]
    )
    assert sorted(told["files"]) == ["ledger.jsonl", "model.joblib", "report.html", "report.json"]


def test_without_mlflow_the_extra_is_named(model_run: ModelRun, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "mlflow":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(FedstackError, match=r"pip install '\.\[tracking\]'"):
        track(model_run.out, "sqlite:////nowhere/mlflow.db", None)


def test_what_is_no_run_is_refused_before_mlflow_is_asked(model_run: ModelRun, tmp_path: Path) -> None:
    with pytest.raises(FedstackError, match="no folder of a run"):
        track(tmp_path, "sqlite:////nowhere/mlflow.db", None)
    folder = model_run.copy("out", tmp_path)
    ledger = folder / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace("COMPLETE", "PARTIAL"))
    with pytest.raises(FedstackError, match="The ledger was changed"):
        track(folder, "sqlite:////nowhere/mlflow.db", None)


def test_an_app_s_metrics_are_those_of_its_curves() -> None:
    report = {"curves": {"train: loss": [[1, 0.5], [2, 0.25], [3, None]]}, "final": {}}
    assert list(metrics_of(report)) == [(1, "train  loss", 0.5), (2, "train  loss", 0.25)]
