"""The command lines for a model, on both sides."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from model_run import ModelRun
from moto import mock_aws
from moto_stack import ACCOUNT, REGION

from runtime.contract import FedstackError
from runtime.model import command, place
from runtime.model.command import cli as everybody
from runtime.server.model.command import cli as server


@pytest.fixture
def bucket() -> Iterator[str]:
    with mock_aws():
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield "results"


def said(cli: typer.Typer, *words: object, capsys: pytest.CaptureFixture[str]) -> Any:
    cli([str(word) for word in words], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("cli", [everybody, server], ids=["everybody", "server"])
def test_register_says_what_it_made_and_the_second_time_that_it_was_there(
    model_run: ModelRun, bucket: str, cli: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("register", model_run.out, "--bucket", bucket, "--region", REGION, "--json")
    first, second = (said(cli, *words, capsys=capsys) for _ in range(2))
    assert first["model_package"].endswith(":model-package/fedstack-cms/1")
    assert (first["again"], second["again"]) == (False, True)
    assert second == {**first, "again": True}


def test_a_client_names_its_federation(
    model_run: ModelRun, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("register", model_run.client, "--bucket", bucket, "--json")
    with pytest.raises(FedstackError, match="Name it with --federation"):
        said(everybody, *words, capsys=capsys)
    assert said(everybody, *words, "--federation", "cms", capsys=capsys)["again"] is False


def test_on_a_client_s_notebook_nothing_need_be_named(
    model_run: ModelRun, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"federation": "cms", "region": REGION, "models": f"s3://{bucket}/models/"}
    for module in (command, place):
        monkeypatch.setattr(module, "installed", lambda: told)
    found = said(everybody, "register", model_run.client, "--json", capsys=capsys)
    assert found["model_data"].startswith(f"s3://{bucket}/serving/")


@pytest.mark.parametrize(
    ("side", "stack", "output"),
    [
        ("client", f"cms-client-silo-0-{ACCOUNT}-{REGION}", "ArtifactsBucket"),
        ("out", f"cms-server-{ACCOUNT}-{REGION}", "ResultsBucket"),
    ],
)
def test_elsewhere_the_bucket_is_what_the_account_s_own_stack_says(
    model_run: ModelRun, bucket: str, side: str, stack: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {output: {"Value": bucket}, "Other": {"Value": "other"}},
    }
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(template))
    words = ("register", getattr(model_run, side), "--federation", "cms", "--region", REGION, "--json")
    assert said(everybody, *words, capsys=capsys)["model_data"].startswith(f"s3://{bucket}/serving/")


@pytest.mark.usefixtures("bucket")
def test_an_account_without_the_stack_is_asked_for_a_bucket(
    model_run: ModelRun, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("register", model_run.client, "--federation", "cms", "--region", REGION)
    with pytest.raises(FedstackError, match=r"No bucket is named .* does not exist.*Give --bucket"):
        said(everybody, *words, capsys=capsys)


def test_a_region_without_the_image_is_named(model_run: ModelRun, bucket: str) -> None:
    words = ["register", str(model_run.out), "--bucket", bucket, "--region", "ap-southeast-5"]
    with pytest.raises(FedstackError, match="no scikit-learn image in 'ap-southeast-5'"):
        everybody(words, standalone_mode=False)


def test_predict_on_the_command_line_needs_the_ledger(
    model_run: ModelRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, ledger = model_run.client / "model.joblib", model_run.client / "ledger.jsonl"
    words = ("predict", model_run.test, "--model", model, "--out", tmp_path / "scores.csv")
    told = said(server, *words, "--json", capsys=capsys)
    assert told["rows"] == len((tmp_path / "scores.csv").read_text().splitlines()) - 1
    alone = tmp_path / "model.joblib"
    alone.write_bytes(model.read_bytes())
    words = ("predict", model_run.test, "--model", alone, "--out", tmp_path / "again.csv")
    with pytest.raises(FedstackError, match="There is no ledger"):
        said(server, *words, "--json", capsys=capsys)
    assert said(server, *words, "--ledger", ledger, "--json", capsys=capsys)["model_sha256"]


def test_the_module_exits_with_the_code_and_one_line(tmp_path: Path) -> None:
    words = ["predict", "rows.csv", "--model", str(tmp_path), "--out", "scores.csv"]
    run = subprocess.run([sys.executable, "-m", "runtime.model", *words], capture_output=True, text=True)
    assert run.returncode == 10
    assert run.stderr.startswith("fedstack-error 10 CONFIG: There is no ledger at")
    assert len(run.stderr.splitlines()) == 1
