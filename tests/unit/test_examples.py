"""The worked examples run as they are, in sums, and give what pooling the data gives."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import joblib
import numpy as np
import pytest
from app_federation import AppFederation
from sklearn.datasets import load_wine
from sklearn.metrics import accuracy_score, log_loss

from rehearsal.in_process import providers
from runtime.tabular.data.dataset import save_csv
from runtime.tabular.data.silos import Split, hold_out, split

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_three_kinds_of_wine(tmp_path: Path) -> None:
    federation = AppFederation(tmp_path, EXAMPLES / "wine-softmax")
    report = federation.run("sums")
    assert (report["verdict"], report["privacy"]["visible"]) == ("COMPLETE", [])
    model = joblib.load(tmp_path / "out" / "model.joblib")
    x, y = load_wine(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    assert accuracy_score(y, model.predict(x)) >= 0.98
    told = report["curves"]["evaluate: log_loss"][-1][1]
    assert told == pytest.approx(log_loss(y, model.predict_proba(x)), rel=1e-6)


def test_a_survival_curve_is_that_of_all_rows_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    federation = AppFederation(tmp_path, EXAMPLES / "kaplan-meier", clients=4)
    tables = []
    for number, file in enumerate(federation.data.values()):
        time, censored = rng.exponential(20 + 5 * number, 60), rng.exponential(50, 60)
        tables.append(np.column_stack([np.ceil(np.minimum(time, censored)), time <= censored]))
        with file.open("w", newline="") as lines:
            csv.writer(lines).writerows([["time", "event"], *tables[-1].tolist()])
    report = federation.run("sums")
    assert report["verdict"] == "COMPLETE"
    with (tmp_path / "out" / "survival.csv").open(newline="") as lines:
        told = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(lines)]
    time, event = np.concatenate(tables).T
    survival = 1.0
    for row in told:
        at_risk, events = (time >= row["time"]).sum(), (event[time == row["time"]]).sum()
        survival *= 1 - events / max(at_risk, 1)
        assert (row["at_risk"], row["events"]) == (at_risk, events)
        assert row["survival"] == pytest.approx(survival, abs=1e-12)
    assert len(told) == 60


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is an extra of the example's own"
)
def test_a_network_of_torch_comes_near_its_pooled_self(tmp_path: Path) -> None:
    rest, test = hold_out(providers(), 0.2, seed=0)
    federation = AppFederation(tmp_path, EXAMPLES / "pytorch-mlp")
    for file, part in zip(federation.data.values(), split(rest, 3, Split.FEATURE, seed=0), strict=True):
        save_csv(file, part)
    save_csv(tmp_path / "test.csv", test)
    report = federation.run("sums", test_data=tmp_path / "test.csv")
    assert (report["verdict"], report["privacy"]["visible"]) == ("COMPLETE", [])
    federated = report["curves"]["server: roc_auc"][-1][1]
    assert federated >= 0.97 * _pooled(tmp_path, rest, test)


def _pooled(folder: Path, rest: object, test: object) -> float:
    """Train the same network on all rows in one place, with as many passes, and return its ROC-AUC."""
    from pytorch_mlp import task

    save_csv(folder / "all.csv", rest)  # type: ignore[arg-type]
    save_csv(folder / "test.csv", test)  # type: ignore[arg-type]
    files = (folder / "all.csv", folder / "test.csv")
    (x, y), (test_x, test_y) = (task.load(str(file), "fraudulent_provider") for file in files)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    net = task.network(x.shape[1], 16, 0)
    task.fit(net, (x - mean) / scale, y, epochs=30, batch_size=64, learning_rate=0.003, seed=0)
    margin = task.scores(net, (test_x - mean) / scale, test_y)["roc_auc"]
    return float(margin)
