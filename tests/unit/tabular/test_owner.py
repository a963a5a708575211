"""What a data's owner asks on the account's notebook."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest
from assembly import NORTH, Template, told_of
from model_run import as_client
from moto import mock_aws
from table_runs import clinic, diabetes, rossi, split, wine
from typer.testing import CliRunner

from rehearsal.in_process import providers
from runtime.client.privacy_policy import PrivacyPolicy
from runtime.contract import INSTALLED_FILE, FedstackError, Updates
from runtime.tabular.client import owner
from runtime.tabular.data.dataset import save_csv


def asked(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(owner.cli, list(words))
    if result.exception is not None:
        raise result.exception
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def archive(**files: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("_", "."))
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return written.getvalue()


def test_the_account_s_data_and_its_newest_job_are_fetched_and_what_was_there_before_goes(
    tmp_path: Path,
) -> None:
    told = {"data": "s3://data/train/", "models": "s3://artifacts/models/"}
    (tmp_path / INSTALLED_FILE).write_text(json.dumps(told))
    folder = tmp_path / "look"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "old.csv").write_text("")
    with mock_aws():
        s3 = boto3.client("s3")
        for bucket in ("data", "artifacts"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_object(Bucket="data", Key="train/", Body=b"")
        s3.put_object(Bucket="data", Key="train/part/silo.csv", Body=b"rows")
        for job, said in (("cms-north--run-2", "older"), ("cms-north--run-1", "newer")):
            for name, content in (("model", {"model_joblib": said}), ("output", {"ledger_jsonl": said})):
                key = f"models/{job}/output/{name}.tar.gz"
                s3.put_object(Bucket="artifacts", Key=key, Body=archive(**content))
        newest = owner._archives(told["models"])[0].split("/")[-3]
        answer = asked("fetch", str(folder), "--home", str(tmp_path))
    assert answer == {"data": str(folder / "data"), "last": str(folder / "last")}
    assert [str(f.relative_to(folder)) for f in sorted((folder / "data").rglob("*.csv"))] == [
        "data/part/silo.csv"
    ]
    said = "older" if newest.endswith("2") else "newer"
    assert (folder / "last" / "ledger.jsonl").read_text() == said
    assert (folder / "last" / "model.joblib").read_text() == said


def test_every_policy_can_be_said_and_a_wider_one_is_said_otherwise() -> None:
    sums = owner.sentences(PrivacyPolicy(cohort={"south": "", "west": ""}), "south, west")
    assert any("in a sum with those of south, west, over 3 members at least" in line for line in sums)
    plain = owner.sentences(PrivacyPolicy(updates=Updates.PLAIN), "")
    assert any("the server sees each of them" in line for line in plain)
    noise = owner.sentences(PrivacyPolicy(updates=Updates.NOISE, epsilon_budget=3.0), "")
    assert any("epsilon 3 per row" in line for line in noise)


def test_the_notebook_says_the_policy_that_the_account_s_own_stack_pins(
    templates: dict[str, Template], tmp_path: Path
) -> None:
    told = told_of(templates[NORTH])
    (tmp_path / INSTALLED_FILE).write_text(json.dumps(told))
    answer = asked("policy", "--home", str(tmp_path))
    assert answer["switch"] == "/fedstack/cms/north/participation"
    assert any("those of south, west, over 3 members" in line for line in answer["sentences"])


def test_a_silo_is_described_by_counts_and_a_wrong_cell_by_its_place(tmp_path: Path) -> None:
    rows = providers()
    save_csv(tmp_path / "silo.csv", rows)
    answer = asked("describe", str(tmp_path / "silo.csv"))
    assert (answer["rows"], list(answer["labels"].values())) == (len(rows), np.bincount(rows.y).tolist())
    lines = (tmp_path / "silo.csv").read_text().splitlines()
    lines[3] = "x" + lines[3]
    (tmp_path / "silo.csv").write_text("\n".join(lines))
    with pytest.raises(FedstackError, match="line 4"):
        asked("describe", str(tmp_path / "silo.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FedstackError, match="There is no CSV"):
        asked("describe", str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("made", "labels", "score"),
    [
        (clinic, {"no", "yes"}, "roc_auc"),
        (wine, {"0", "1", "2"}, "macro_auc"),
        (diabetes, {"mean", "standard deviation"}, "r2"),
        (rossi, {"events", "censored"}, "concordance"),
    ],
)
def test_every_task_s_labels_are_counted_and_its_model_scored_on_the_owner_s_rows(
    tmp_path: Path, made: Callable[[], pd.DataFrame], labels: set[str], score: str
) -> None:
    table = split(tmp_path, made(), plain=True, week={"grid": [26, 52]})
    table.run()
    data, folder = tmp_path / "cut" / "silo-0.csv", tmp_path / "kept"
    folder.mkdir()
    shutil.copy(tmp_path / "cut" / "out" / "model.joblib", folder)
    as_client(folder, "silo-0")
    described = asked("describe", str(data))
    assert set(described["labels"]) == labels
    if "mean" not in labels:
        assert sum(described["labels"].values()) == described["rows"]
    scored = asked("model", str(folder), str(data))
    assert scored["rows"] == described["rows"]
    assert 0.4 < scored[score] <= 1


def test_off_the_notebook_the_owner_is_told_where_to_ask(tmp_path: Path) -> None:
    with pytest.raises(FedstackError, match="Ask on the notebook of the client's stack"):
        asked("policy", "--home", str(tmp_path))
