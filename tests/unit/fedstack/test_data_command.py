"""data describe, check and upload: what a client's owner does, and that no value is printed."""

from __future__ import annotations

import errno
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


CLINIC = {
    "name": "clinic",
    "task": "binary",
    "columns": [
        {"name": "who", "role": "id"},
        {"name": "age", "type": "count"},
        {"name": "charge", "type": "amount"},
        {"name": "weight", "type": "real", "missing": ["NA"]},
        {"name": "sex", "type": "binary", "levels": ["f", "m"]},
        {"name": "seen", "type": "date", "on": "2024-01-01"},
        {"name": "died", "role": "label", "levels": ["no", "yes"]},
    ],
}
CLINIC_HEADER = "who,age,charge,weight,sex,seen,died\n"
CLINIC_ROWS = "".join(
    f"p{n},{n},{n}.5,NA,{'fm'[n % 2]},2023-01-0{n},{['no', 'yes'][n % 2]}\n" for n in range(1, 9)
)


def clinic(folder: Path, content: str, schema: dict[str, Any] = CLINIC) -> Path:
    (folder / "schema.json").write_text(json.dumps(schema))
    (folder / "north.csv").write_text(content, encoding="utf-8")
    return folder / "north.csv"


def test_every_fault_of_typed_columns_is_counted_at_once_and_no_value_is_printed(tmp_path: Path) -> None:
    name = SECRETS[0]
    bad = (
        f"{name},1.5,{SECRETS[2]},{name},{name},{name},{name}\n",
        f"{name},-815815,,,,,\n",
        f"{name},{name},1e99,1,f,2023-02-30,no\n",
        f"{name},{name}\n",
    )
    file = clinic(tmp_path, CLINIC_HEADER + CLINIC_ROWS + "".join(bad))
    said, told = call("data", "check", file), json.loads(call("data", "check", file, "--json").out)
    assert said.code == ExitCode.DATA
    counts = {
        (fault["column"], fault["what"].removeprefix("cells, each ").partition(" (")[0]): fault
        for fault in told["faults"]
    }
    assert {key: (fault["count"], fault["line"]) for key, fault in counts.items()} == {
        ("rows", "rows with 2 cells where 7 belong"): (1, 13),
        ("age", "not a whole number"): (1, 10),
        ("age", "negative"): (1, 11),
        ("age", "not a number"): (1, 12),
        ("charge", "negative"): (1, 10),
        ("charge", "a missing value"): (1, 11),
        ("charge", "beyond 1e+15"): (1, 12),
        ("weight", "not a number"): (1, 10),
        ("weight", "a missing value"): (1, 11),
        ("sex", "none of its levels"): (1, 10),
        ("sex", "a missing value"): (1, 11),
        ("seen", "no day such as 2024-03-01"): (2, 10),
        ("seen", "a missing value"): (1, 11),
        ("died", "none of its levels"): (1, 10),
        ("died", "a missing value"): (1, 11),
    }
    for secret in SECRETS:
        assert secret not in said.out + said.err + json.dumps(told)


def test_header_and_cells_of_typed_columns_are_told_together(tmp_path: Path) -> None:
    header = f"who,age,{SECRETS[0]},weight,sex,sex,died\n"
    said = call("data", "check", clinic(tmp_path, header + CLINIC_ROWS + "p,x,1,NA,f,f,yes\n"))
    for what in (
        "lacks 'charge', 'seen'",
        "not name in column 3",
        "names 'sex' more than once",
        "age: 1 cells",
    ):
        assert what in said.out
    assert SECRETS[0] not in said.out


@pytest.mark.parametrize(
    ("task", "columns", "row", "what"),
    [
        ("linear", [{"name": "y", "role": "label"}, {"name": "x"}], "z,1", "y: 1 cells, each not a number"),
        ("poisson", [{"name": "y", "role": "label"}, {"name": "x"}], "1.5,1", "y: 1 cells, each not a whole"),
        (
            "poisson",
            [{"name": "y", "role": "label"}, {"name": "x"}, {"name": "t", "role": "exposure"}],
            "1,1,0",
            "t: 1 cells, each not above 0",
        ),
        (
            "cox",
            [
                {"name": "y", "role": "time", "grid": [1, 2]},
                {"name": "e", "role": "event", "levels": ["0", "1"]},
                {"name": "x"},
            ],
            "0,2,1",
            "e: 1 cells, each none of its levels",
        ),
    ],
)
def test_each_tasks_columns_are_judged_by_what_reads_them(
    tmp_path: Path, task: str, columns: list[dict[str, Any]], row: str, what: str
) -> None:
    schema = {"name": "t", "task": task, "columns": columns}
    names = ",".join(column["name"] for column in columns)
    said = call("data", "check", clinic(tmp_path, f"{names}\n{row}\n", schema))
    assert (said.code, what in said.out) == (ExitCode.DATA, True), said


def test_a_file_that_breaks_off_still_has_its_faults_counted(tmp_path: Path) -> None:
    file = clinic(tmp_path, CLINIC_HEADER + "p,x,1,NA,f,2023-01-01,no\n" + f'p,1,"{SECRETS[0]},NA\n')
    said = call("data", "check", file)
    assert "age: 1 cells, each not a number, in line 2" in said.out
    assert "file: it is no CSV from line 3 on" in said.out
    assert "of one class" not in said.out  # nobody knows of the rest
    file.write_bytes(file.read_bytes().replace(b'"', b"\xff"))
    said = call("data", "check", file)
    assert "file: it is not UTF-8 text from line 3 on" in said.out
    assert SECRETS[0] not in said.out


def test_a_description_is_a_schema_to_edit(tmp_path: Path) -> None:
    (tmp_path / "north.csv").write_text(ROWS)
    described = json.loads(call("data", "describe", tmp_path / "north.csv").out)
    assert described["name"] == "north"
    said = call("data", "describe", tmp_path / "north.csv", "--write")
    assert "edit it" in said.out
    assert json.loads((tmp_path / "schema.json").read_text()) == described


def test_a_disk_that_is_full_leaves_no_half_of_a_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "north.csv").write_text(ROWS)
    write = Path.write_text

    def full(path: Path, *given: Any, **more: Any) -> int:
        if path.name == "schema.json":
            path.touch()
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, *given, **more)

    monkeypatch.setattr(Path, "write_text", full)
    said = call("data", "describe", tmp_path / "north.csv", "--write")
    assert (said.code, "No space left on device" in said.err) == (ExitCode.ENGINE, True)
    assert not (tmp_path / "schema.json").exists()


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
