"""data describe, check and upload: what a client's owner does, and that no value is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import boto3
import pytest
from assembly import NORTH, ROOT, Assembly
from fedstack_line import as_before, call  # noqa: F401 - a fixture

from fedstack import upload
from runtime.contract import ExitCode

SCHEMA = {"name": "tiny", "label": "label", "features": ["a", "b"], "as_is": []}
ROWS = "label,a,b\n" + "".join(f"{row % 2},{row},{row * 7 % 5}\n" for row in range(60))
SECRETS = ("Marked-Person", "4711.4711", "-815815")


def table(folder: Path, content: str) -> Path:
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    (folder / "north.csv").write_text(content)
    return folder / "north.csv"


def test_a_sound_table_is_told_with_its_rows(tmp_path: Path) -> None:
    said = call("data", "check", table(tmp_path, ROWS))
    assert said.code == 0
    assert "60 rows, 3 columns, schema 'tiny'" in said.out
    assert "nothing is wrong" in said.out


def test_faults_are_counted_by_column_and_no_value_is_printed(tmp_path: Path) -> None:
    bad = f"1,{SECRETS[0]},2\n1,{SECRETS[0]},{SECRETS[2]}\n1,,1\n{SECRETS[1]},1,1\n1,2\n"
    file = table(tmp_path, ROWS + bad)
    said, told = call("data", "check", file), json.loads(call("data", "check", file, "--json").out)
    assert said.code == ExitCode.DATA
    faults = {(fault["column"], fault["count"], fault["line"]) for fault in told["faults"]}
    assert faults == {("a", 2, 62), ("a", 1, 64), ("b", 1, 63), ("label", 1, 65), ("rows", 1, 66)}
    assert "a: 2 cells" in said.out
    for secret in SECRETS:
        assert secret not in said.out + said.err + json.dumps(told)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("label,a\n1,2\n", "header: lacks 'b'"),
        ("", "no rows"),
        ("label,a,b\n" + "1,2,3\n" * 9, "all 9 rows"),
    ],
)
def test_what_is_wrong_with_the_whole_file_is_told_too(tmp_path: Path, content: str, what: str) -> None:
    said = call("data", "check", table(tmp_path, content))
    assert said.code == ExitCode.DATA
    assert what in said.out


def test_a_description_is_a_schema_to_edit(tmp_path: Path) -> None:
    (tmp_path / "north.csv").write_text(ROWS)
    described = json.loads(call("data", "describe", tmp_path / "north.csv").out)
    assert described["name"] == "north"
    said = call("data", "describe", tmp_path / "north.csv", "--write")
    assert "edit it" in said.out
    assert json.loads((tmp_path / "schema.json").read_text()) == described


class Account:
    """An account of AWS, as far as an upload asks it."""

    def __init__(self, account: str = "222222222222") -> None:
        self.account, self.sent = account, dict[str, bytes]()

    def client(self, _service: str, **_: Any) -> Self:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": self.account}

    def get_paginator(self, _: str) -> Self:
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803 - boto3's name
        assert StackName == "cms-client-north-222222222222-eu-west-1"
        kinds = {"StorageDataKey": "AWS::KMS::Key", "StorageData1AB": "AWS::S3::Bucket"}
        summaries = [
            {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": name.lower()}
            for name, kind in kinds.items()
        ]
        return [{"StackResourceSummaries": summaries}]

    def upload_file(self, file: str, bucket: str, key: str) -> None:
        self.sent[f"{bucket}/{key}"] = Path(file).read_bytes()


def test_data_and_schema_go_to_the_clients_own_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, file = Account(), table(tmp_path, ROWS)
    monkeypatch.setattr(boto3, "Session", lambda **_: account)
    words = ("data", "upload", file, "--client", "north", "--federation", ROOT / "federation.yaml")
    told = json.loads(call(*words, "--json").out)
    places = ["s3://storagedata1ab/train/north.csv", "s3://storagedata1ab/train/schema.json"]
    assert told == {"client": "north", "objects": places}
    assert account.sent["storagedata1ab/train/north.csv"] == file.read_bytes()


def test_data_never_go_through_another_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("111111111111")
    monkeypatch.setattr(boto3, "Session", lambda **_: account)
    words = ("--client", "north", "--federation", ROOT / "federation.yaml")
    said = call("data", "upload", table(tmp_path, ROWS), *words)
    assert said.code == ExitCode.CONFIG
    assert "These credentials are of account 111111111111, and north's is 222222222222." in said.err
    assert not account.sent


def test_the_data_bucket_is_the_one_that_jobs_read(assembly: Assembly) -> None:
    resources = assembly.templates[NORTH]["Resources"].items()
    buckets = [name for name, resource in resources if resource["Type"] == "AWS::S3::Bucket"]
    (data,) = [name for name in buckets if name.startswith(upload.DATA_BUCKET)]
    assert f'{{"Ref": "{data}"}}, "/{upload.FOLDER}/' in json.dumps(assembly.templates[NORTH])
