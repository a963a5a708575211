"""The bundle under SageMaker's own inference toolkit, and what it answers to rows that cannot be."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from model_run import ModelRun, as_client
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from runtime.contract import ExitCode, FedstackError
from runtime.model import inference
from runtime.model.bundle import ENVIRONMENT, bundle
from runtime.model.scores import score_file
from runtime.model.vouched import vouch
from runtime.tabular.data.dataset import load_csv
from runtime.tabular.data.schema import CMS, Schema

EXACT = 1e-12
Request = tuple[str, str, str]


def served(folder: Path, requests: list[Request]) -> list[dict[str, Any]]:
    """Answers of the real toolkit, in a process that has nothing of ours."""
    encoded = [(kind, accept, base64.b64encode(body.encode()).decode()) for kind, accept, body in requests]
    environment = {**os.environ, "SAGEMAKER_PROGRAM": ENVIRONMENT["SAGEMAKER_PROGRAM"]}
    environment["PYTHONPATH"] = str(folder / "code")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("serving_toolkit.py")), str(folder)],
        input=json.dumps(encoded),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["ours"] == []
    answers: list[dict[str, Any]] = said["answers"]
    return answers


def unpacked(archive: bytes, folder: Path) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(folder, filter="data")
        return opened.getnames()


def test_the_bundle_under_the_real_toolkit_gives_local_scores(model_run: ModelRun, tmp_path: Path) -> None:
    vouched = vouch(model_run.client, None)
    archive = bundle(vouched)
    assert archive == bundle(vouched)
    assert unpacked(archive, tmp_path) == ["model.joblib", "code/inference.py"]
    x = load_csv(model_run.test, CMS).x
    local = vouched.load().predict_proba(x)[:, 1]
    lines = model_run.test.read_text().splitlines()
    bare = "\n".join(line.partition(",")[2] for line in lines[1:])
    rows = [[float(cell) for cell in row] for row in x[:50]]
    answers = served(
        tmp_path,
        [
            ("text/csv", "text/csv", "\n".join(lines)),
            ("text/csv; charset=utf-8", "application/json", bare),
            ("application/json", "application/json", json.dumps({"instances": rows})),
            ("application/json", "*/*", json.dumps(rows)),
            ("application/json", "text/csv", json.dumps([rows[0]])),
            ("text/csv", "text/csv", "1,2,3\n"),
            ("application/x-npy", "application/json", "x"),
            ("application/json", "application/json", "{"),
            ("text/csv", "text/csv", bare.splitlines()[0]),
        ],
    )
    assert [answer["status"] for answer in answers] == [200, 200, 200, 200, 200, 400, 400, 400, 200]
    csv, in_json, few, listed, single = (numbers(answer["answer"]) for answer in answers[:5])
    for found, expected in ((csv, local), (in_json, local), (few, local[:50]), (listed, local[:50])):
        assert np.abs(found - expected).max() <= EXACT
    assert single == pytest.approx(local[:1], abs=EXACT)
    assert numbers(answers[8]["answer"]) == pytest.approx(
        local[:1], abs=EXACT
    )  # it serves on after a refusal
    assert "Line 1 has 3 values where the model's 49 features belong" in answers[5]["answer"]
    assert "send text/csv or application/json" in answers[6]["answer"]


def numbers(answer: str) -> npt.NDArray[np.float64]:
    read = json.loads(answer)["predictions"] if answer.startswith("{") else answer.split()
    return np.array(read, dtype=np.float64)


def test_predict_writes_the_model_s_own_scores(model_run: ModelRun, tmp_path: Path) -> None:
    model = vouch(model_run.out, None).load()
    count = score_file(model_run.test, model, tmp_path / "scores.csv")
    head, *scores = (tmp_path / "scores.csv").read_text().splitlines()
    expected = model.predict_proba(load_csv(model_run.test, CMS).x)[:, 1]
    assert (head, count) == ("probability", len(expected))
    assert np.abs(np.array(scores, dtype=np.float64) - expected).max() <= EXACT


SMALL = Schema("small", "sick", ("age", "delta"), as_is=("delta",))


def small() -> Any:
    """A Pipeline of two features, of which one may be negative."""
    x, y = np.array([[1.0, -1.0], [2.0, 3.0], [5.0, 0.0]]), np.array([0, 1, 1])
    model = Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression())]).fit(x, y)
    model.schema_ = {"label": SMALL.label, "features": [*SMALL.features], "as_is": [*SMALL.as_is]}
    return model


SAME = {
    "a header": "age,delta\n2,-3\n",
    "no header": "2,-3\n",
    "the label first": "1,2,-3\n",
    "a header with the label": "sick,age,delta\n1,2,-3\n",
    "another order": "delta,age\n-3,2\n",
    "the label in between": "delta,sick,age\n-3,0,2\n",
    "spaces, a blank line and CRLF": " age , delta \r\n\r\n 2 , -3 \r\n",
    "a byte order mark": "\ufeffage,delta\n2,-3\n",
    "quotes": '"age","delta"\n"2","-3"\n',
}


@pytest.mark.parametrize("how", SAME)
def test_a_row_scores_the_same_however_its_file_is_written(how: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(SAME[how], encoding="utf-8", newline="")
    assert score_file(tmp_path / "rows.csv", small(), tmp_path / "out.csv") == 1
    score = float((tmp_path / "out.csv").read_text().split()[1])
    assert score == pytest.approx(small().predict_proba([[2.0, -3.0]])[0, 1], abs=EXACT)


WRONG = {
    "": "There are no rows",
    "age,delta\n": "There are no rows",
    "age,height\n1,2\n": "lacks 'delta'",
    "age,delta,height\n1,2,3\n": "has in excess 'height'",
    "age,age,delta\n1,1,2\n": "names more than once 'age'",
    "a,b\n1,2\n": "names none of the model's features",
    "1\n": "Line 1 has 1 values where the model's 2 features belong",
    "1,2,3,4\n": "Line 1 has 4 values",
    "1,2\n1,2,3\n": "Line 2 has 3 values where 2 belong",
    "age,delta\n1,\n": "Line 2, 'delta': a missing value",
    "age,delta\n1,x\n": "Line 2, 'delta': it is not a number",
    "1,x\n": "Line 1, 'delta': it is not a number",
    "1,nan\n": "'delta': it is not a number within",
    "1,inf\n": "'delta': it is not a number within",
    "1,1e16\n": "'delta': it is not a number within",
    "1_000,2\n1,2\n": "'age': it is not a number",
    "-1,2\n": "Line 1, 'age': it is negative",
}


@pytest.mark.parametrize("body", WRONG)
def test_rows_that_the_schema_does_not_allow_are_named_and_nothing_is_written(
    body: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(body)
    with pytest.raises(FedstackError, match=WRONG[body]) as error:
        score_file(tmp_path / "rows.csv", small(), tmp_path / "out.csv")
    assert error.value.code == ExitCode.DATA
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"rows": []}', "no list of rows"),
        ("[1, 2]", "no list of rows"),
        ("[]", "There are no rows"),
        ('[["1", null]]', "a missing value"),
        ("[[true, 1]]", "it is not a number"),
        ("[[1, [2]]]", "it is not a number"),
        ('"text"', "no list of rows"),
    ],
)
def test_json_that_is_no_rows_is_refused(body: str, words: str) -> None:
    with pytest.raises(inference.Refused, match=words):
        inference.predict_fn(inference.input_fn(body, "application/json"), small())


FILES: dict[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "a folder": Path.mkdir,
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x80"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_cannot_be_read_is_an_error_in_the_data(what: str, tmp_path: Path) -> None:
    FILES[what](tmp_path / "rows.csv")
    with pytest.raises(FedstackError, match=r"rows\.csv") as error:
        score_file(tmp_path / "rows.csv", small(), tmp_path / "out.csv")
    assert error.value.code == ExitCode.DATA


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("2,-3\n")
    with pytest.raises(FedstackError, match=r"no/out\.csv cannot be written"):
        score_file(tmp_path / "rows.csv", small(), tmp_path / "no" / "out.csv")


def test_a_model_without_a_schema_is_held_to_its_width(tmp_path: Path) -> None:
    model = small()
    del model.schema_
    assert inference.predict_fn([["2", "-3"]], model) == pytest.approx(
        small().predict_proba([[2.0, -3.0]])[:, 1], abs=EXACT
    )
    with pytest.raises(inference.Refused, match="Line 1 has 4 values"):
        inference.predict_fn([["2", "-3", "1", "1"]], model)


def test_a_model_that_the_image_cannot_load_is_not_bundled(tmp_path: Path) -> None:
    import joblib
    from imblearn.ensemble import BalancedRandomForestClassifier

    joblib.dump(BalancedRandomForestClassifier(n_estimators=2), tmp_path / "model.joblib")
    with pytest.raises(FedstackError, match="needs imblearn, which SageMaker's scikit-learn image lacks"):
        bundle(vouch(as_client(tmp_path, "a"), None))
