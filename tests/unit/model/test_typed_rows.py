"""Rows of tables as people have them, scored by models of every task: as the file has them, and as JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from table_runs import clinic, diabetes, wine

from runtime.contract import ExitCode, FedstackError
from runtime.model import inference
from runtime.model.scores import score_file
from runtime.tabular.data.dataset import load_csv
from runtime.tabular.data.describe import describe
from runtime.tabular.data.schema import schema_of
from runtime.tabular.models import Fit, fit_alone, load
from runtime.tabular.server.settings import MODEL_OF

TABLES = {"clinic": clinic, "wine": wine, "diabetes": diabetes}


def fitted(folder: Path, frame: pd.DataFrame) -> tuple[Any, Any, Path]:
    """Return a model of the table, its rows as the model takes them, and the table's file."""
    file = folder / "table.csv"
    frame.to_csv(file, index=False)
    (folder / "schema.json").write_text(json.dumps(describe(file)))
    schema = schema_of(file)
    rows = load_csv(file, schema)
    return fit_alone(load(MODEL_OF[schema.task]), rows, Fit()), rows.raw(), file


@pytest.mark.parametrize("name", TABLES)
def test_a_file_scores_as_the_model_itself_scores_its_rows(name: str, tmp_path: Path) -> None:
    model, cells, file = fitted(tmp_path, TABLES[name]())
    assert score_file(file, model, tmp_path / "out.csv") == len(cells)
    found = pd.read_csv(tmp_path / "out.csv")
    expected = (
        model.predict_proba(cells) if hasattr(model, "predict_proba") else model.predict(cells)[:, None]
    )
    expected = expected[:, 1:] if expected.shape[1] == 2 else expected
    assert np.abs(found.to_numpy() - expected).max() <= 1e-12
    heads = {"clinic": ["probability"], "wine": ["0", "1", "2"], "diabetes": ["prediction"]}
    assert list(found.columns) == heads[name]


@pytest.mark.parametrize("name", TABLES)
def test_json_rows_without_a_header_score_the_same(name: str, tmp_path: Path) -> None:
    model, cells, _ = fitted(tmp_path, TABLES[name]())
    rows = [[None if cell == "" else cell for cell in row] for row in cells[:20].tolist()]
    body = json.dumps({"instances": rows})
    scores = inference.predict_fn(inference.input_fn(body, inference.JSON), model)
    told = json.loads(inference.output_fn(scores, inference.JSON))["predictions"]
    line = io.StringIO()
    csv.writer(line).writerows(cells[:20].tolist())
    again = inference.predict_fn(inference.input_fn(line.getvalue(), inference.CSV), model)
    assert np.abs(np.asarray(told) - again).max() <= 1e-12
    assert len(told) == 20


def test_a_cell_that_no_schema_allows_is_named_by_its_line_and_not_told(tmp_path: Path) -> None:
    frame = clinic()
    model, _, file = fitted(tmp_path, frame)
    frame["cost"] = frame["cost"].astype(object)
    frame.loc[3, "cost"] = "secret-17"
    frame.to_csv(file, index=False)
    with pytest.raises(FedstackError, match="Line 5 has a cell") as error:
        score_file(file, model, tmp_path / "out.csv")
    assert error.value.code is ExitCode.DATA
    assert "secret-17" not in str(error.value)
    assert not (tmp_path / "out.csv").exists()


def test_a_level_that_nobody_declared_has_a_score_as_it_had_in_training(tmp_path: Path) -> None:
    frame = clinic()
    model, _, file = fitted(tmp_path, frame)
    frame.loc[0, "site"] = "a new clinic"
    frame.to_csv(file, index=False)
    assert score_file(file, model, tmp_path / "out.csv") == len(frame)
