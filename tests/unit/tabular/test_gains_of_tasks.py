"""What clients gain is told in each task's own score, only of hold-outs with enough rows of each kind."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_fixture import Page
from table_runs import affairs, diabetes, rossi, split, wine

from rehearsal import baselines
from runtime.tabular.client.client_gain import summands
from runtime.tabular.client_gain import names_of, nested, undefined_of, with_enough_rows
from runtime.tabular.columns.columns import Task
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.task_scores import SCORES, lead_of

HALF = 0.5


@pytest.mark.parametrize(
    ("frame", "changed", "lead"),
    [
        (wine, {}, "macro_auc"),
        (affairs, {}, "d2"),
        (rossi, {"week": {"grid": [26, 52]}}, "concordance"),
    ],
    ids=["wine", "affairs", "rossi"],
)
def test_a_client_tells_its_gain_in_the_first_score_of_its_task(
    tmp_path: Path, frame: Any, changed: Any, lead: str
) -> None:
    table = split(tmp_path, frame(), plain=True, **changed)
    nodes = {"silo-0": {"output-dir": str(tmp_path / "mine")}}
    report = table.run(
        validation=HALF, strategy="fedavg" if frame is wine else "fednewton", rounds=3, nodes=nodes
    )
    assert report["value_missing"] is None
    told = [client["value"] for client in report["clients"]]
    assert json.loads((tmp_path / "mine/value.json").read_text())["gain"]["score"] == lead
    known = [one for one in told if one["rows"]]
    assert known
    for one in known:
        gain = one["gain"]
        assert set(one["federated"]) == set(one["local_only"]) == set(SCORES[Task(report["task"])])
        assert gain["difference"] == one["federated"][lead] - one["local_only"][lead]
        assert gain["low"] <= gain["difference"] <= gain["high"]
        assert "positives" not in one


def test_under_sums_the_server_hears_counts_and_sums_of_the_same_figures_and_nothing_else(
    tmp_path: Path,
) -> None:
    table = split(tmp_path, diabetes())
    nodes = {name: {"output-dir": str(tmp_path / name)} for name in table.silos.silos}
    report = table.run(validation=0.3, page=True, nodes=nodes)
    mine = [json.loads((tmp_path / name / "value.json").read_text()) for name in nodes]
    assert [client["value"] for client in report["clients"]] == [None] * 3
    summed = report["value_summed"]
    assert (summed["score"], summed["clients"]) == ("r2", 3)
    assert summed["above"] == sum(one["gain"]["low"] > 0 for one in mine)
    assert summed["below"] == sum(one["gain"]["high"] < 0 for one in mine)
    for model in ("local_only", "federated"):
        assert summed[model] == pytest.approx(np.mean([one[model]["r2"] for one in mine]))
    page = Page((table.folder / "out/report.html").read_text())
    assert "(known as a sum only)" in page.text
    assert "mean R²" in page.text
    interval = report["intervals"]["r2"]
    assert f"R² {report['final']['r2']:.3f} (95\u00a0%: {interval['low']:.3f}" in page.text
    roster = [{"name": name, "mailbox": "file:///nowhere"} for name in table.silos.silos]
    said = {
        "clients": roster,
        "test_data": str(table.silos.test_file),
        "model": "linear",
        "strategy": "fednewton",
    }
    (table.folder / "out/settings.json").write_text(json.dumps({**said, "validation": 0.3}))
    compared = baselines.add(table.folder / "out", table.silos, {})["compared"]
    assert set(compared["pooled"]) == {"r2", "rmse"}
    same = compared["pooled"]["r2"]
    assert (same["low"], same["high"]) == (0.0, 0.0)  # FedNewton ends where pooling does
    for one in compared["local_only"].values():
        assert one["r2"]["low"] <= one["r2"]["difference"] <= one["r2"]["high"]
    page = Page((table.folder / "out/report.html").read_text())
    assert "differs from pooling by 0.000 (95\u00a0% 0.000 to 0.000), within chance" in page.text


def held(task: Task, y: np.ndarray, table: Dataset) -> Dataset:
    return Dataset(np.zeros((len(y), table.x.shape[1])), y, table.schema)


def figures(task: Task) -> dict[str, float]:
    return dict.fromkeys(names_of(task), 0.5) | dict.fromkeys(names_of(task) - undefined_of(task), 30)


@pytest.mark.parametrize(
    ("frame", "changed", "few", "enough"),
    [
        (wine, {}, np.repeat([0, 1, 2], [20, 20, 9]), np.repeat([0, 1, 2], [20, 20, 10])),
        (wine, {}, np.repeat([0, 1], [20, 1]), np.repeat([0, 1], [20, 20])),
        (diabetes, {}, np.arange(9.0), np.arange(10.0)),
        (affairs, {}, np.r_[np.zeros(40), 3.0], np.r_[np.zeros(40), np.ones(10)]),
        (affairs, {}, np.r_[np.ones(40), np.zeros(9)], np.ones(10)),
        (
            rossi,
            {"week": {"grid": [26, 52]}},
            np.r_[-np.ones(40), np.ones(9)],
            np.r_[-np.ones(40), np.ones(10)],
        ),
        (rossi, {"week": {"grid": [26, 52]}}, np.r_[np.ones(40), -np.ones(1)], np.ones(40)),
    ],
    ids=["class", "one row", "rows", "one count", "few zeros", "events", "one censored"],
)
def test_a_hold_out_with_few_rows_of_a_kind_tells_nothing_plain_and_nothing_in_a_sum(
    tmp_path: Path, frame: Any, changed: Any, few: np.ndarray, enough: np.ndarray
) -> None:
    table = split(tmp_path, frame(), **changed).silos.test
    task = table.schema.task
    kind = np.int64 if table.schema.of_classes else np.float64
    told = with_enough_rows(figures(task), held(task, few.astype(kind), table), 10)
    assert told["rows"] == 0
    assert all(math.isnan(told[name]) for name in undefined_of(task))
    assert nested(told, task)["gain"] == {
        "score": lead_of(task),
        "difference": None,
        "low": None,
        "high": None,
    }
    with pytest.raises(Exception, match="too few rows") as refused:
        summands(told)
    assert not any(character.isdigit() for character in str(refused.value))
    kept = with_enough_rows(figures(task), held(task, enough.astype(kind), table), 10)
    assert kept == figures(task)
    assert summands(kept).tolist() == [1.0, 1.0, 0.0, 0.5, 0.5]


def test_no_two_tasks_tell_the_same_figures() -> None:
    assert len({names_of(task) for task in Task}) == len(Task)
