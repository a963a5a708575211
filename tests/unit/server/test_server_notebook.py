"""A run on the server's notebook: what it need not be told, where its files go, what it refuses."""

from __future__ import annotations

import inspect
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import typer
from moto import mock_aws
from server_fixture import settings

from cdk_app.lifecycle.auto_stop import federation_runs
from rehearsal.in_process import providers
from runtime.contract import INSTALLED_FILE, RUNNING_FILE, ExitCode, FedstackError
from runtime.server import server
from runtime.server.command import report, status, stop
from runtime.server.notebook import address, buckets
from runtime.server.notebook.home import default_out
from runtime.server.notebook.place import ServerNotebook
from runtime.server.settings import Engine, PlatformSettings
from runtime.tabular.data.dataset import save_csv
from runtime.tabular.server.settings import RunSettings

PLACE = "s3://testing/test/"
RESULTS = "s3://results/runs/"
ROSTER = {
    "name": "cms",
    "run": {"rounds": 4},
    "clients": [{"name": f"silo-{number}", "mailbox": "file:///mailbox"} for number in range(3)],
}
TOLD = {"notebook": "cms-server", "region": "eu-west-1", "roster": "", "bundle": ""}


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3")
        for bucket in ("testing", "results"):
            client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield client


@pytest.fixture
def notebook(tmp_path: Path, s3: Any) -> ServerNotebook:
    """What a start script leaves, and a test set in its bucket."""
    home = tmp_path / "fedstack"
    home.mkdir()
    told = {**TOLD, "cidr": "127.88.1.2/32", "test_data": PLACE, "results": RESULTS}
    (home / INSTALLED_FILE).write_text(json.dumps(told) + "\n")
    (home / "federation.json").write_text(json.dumps(ROSTER))
    save_csv(tmp_path / "test.csv", providers())
    s3.upload_file(str(tmp_path / "test.csv"), "testing", "test/cms test.csv")
    found = ServerNotebook.here(home)
    assert found
    return found


def test_nothing_need_be_said_on_the_notebook(notebook: ServerNotebook, tmp_path: Path) -> None:
    found = server.read_settings(notebook.roster, {}, notebook)
    assert isinstance(found, RunSettings)
    assert (found.name, found.rounds, found.address) == ("cms", 4, "127.88.1.2:9092")
    assert found.test_data == notebook.home / "test" / "cms test.csv"
    assert found.test_data.read_bytes() == (tmp_path / "test.csv").read_bytes()
    assert found.out == notebook.home / "out"
    server.check(found)


def test_every_command_looks_where_a_run_of_the_notebook_writes(
    notebook: ServerNotebook, tmp_path: Path
) -> None:
    assert default_out(notebook.home) == notebook.home / "out"
    assert default_out(tmp_path) == Path("out")
    for command in (report.report, status.status, stop.stop):
        assert inspect.signature(command).parameters["out"].default == default_out()


def test_what_is_said_wins_and_then_nothing_is_fetched(notebook: ServerNotebook, tmp_path: Path) -> None:
    said = {
        "test_data": tmp_path / "test.csv",
        "out": tmp_path / "mine",
        "address": "10.1.2.3:9000",
        "rounds": 2,
    }
    found = server.read_settings(notebook.roster, said, notebook)
    assert {name: getattr(found, name) for name in said} == said
    assert not (notebook.home / "test").exists()


def test_the_test_set_is_that_of_the_bucket_now_and_its_schema_lies_beside_it(
    notebook: ServerNotebook, s3: Any
) -> None:
    buckets.fetch_test_set(PLACE, notebook.home / "test", needed=True)
    s3.delete_object(Bucket="testing", Key="test/cms test.csv")
    for key in ("test/", "test/other.csv", "test/schema.json"):
        s3.put_object(Bucket="testing", Key=key, Body=b"{}")
    assert buckets.fetch_test_set(PLACE, notebook.home / "test", needed=True) == (
        notebook.home / "test" / "other.csv"
    )
    assert sorted(file.name for file in (notebook.home / "test").iterdir()) == ["other.csv", "schema.json"]


@pytest.mark.usefixtures("s3")
def test_a_bucket_without_a_test_set_is_an_error_for_an_app_that_needs_one(tmp_path: Path) -> None:
    assert buckets.fetch_test_set(PLACE, tmp_path, needed=False) is None
    with pytest.raises(
        FedstackError, match=r"There is no test set at s3://testing/test/\. Put one there"
    ) as e:
        buckets.fetch_test_set(PLACE, tmp_path, needed=True)
    assert e.value.code is ExitCode.DATA
    assert "aws s3 cp test.csv s3://testing/test/" in e.value.remedy


def test_two_test_sets_are_named_and_none_is_guessed(notebook: ServerNotebook, s3: Any) -> None:
    s3.put_object(Bucket="testing", Key="test/b.csv", Body=b"")
    with pytest.raises(FedstackError, match=r"There are 2 test sets at s3://testing/test/: b\.csv, cms test"):
        server.read_settings(notebook.roster, {}, notebook)


def test_a_test_set_that_no_disk_here_holds_is_not_fetched(
    notebook: ServerNotebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(FedstackError, match=r"MB, and this disk 0\.0 MB free\.") as raised:
        buckets.fetch_test_set(PLACE, notebook.home / "test", needed=True)
    assert raised.value.code is ExitCode.DATA


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(
        FedstackError, match=r"The test set of s3://nowhere/test/ cannot be fetched: .*Bucket"
    ):
        buckets.fetch_test_set("s3://nowhere/test/", tmp_path, needed=True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"notebook": "cms"}', '{"cidr": "10.0.0.0/24"}'])
def test_a_file_of_the_start_script_that_is_broken_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / INSTALLED_FILE).write_text(text)
    with pytest.raises(FedstackError, match="Stop the notebook and start it"):
        ServerNotebook.here(tmp_path)


def test_a_machine_that_no_stack_made_is_no_notebook(tmp_path: Path) -> None:
    assert ServerNotebook.here(tmp_path) is None


def test_the_address_is_this_machine_s_own_in_the_server_s_network() -> None:
    assert address.own_address("127.9.8.0/30").startswith("127.9.8.")
    with pytest.raises(FedstackError, match=r"no address in 198\.51\.100\.0/28.*--address"):
        address.own_address("198.51.100.0/28")


def started_at(host: str, kickoff: str = "broker") -> PlatformSettings:
    role = {
        "kickoff": kickoff,
        "region": "eu-west-1",
        "kickoff_role_arn": "arn:aws:iam::222222222222:role/FL-kickoff",
        "external_id": "cms/north",
        "state_machine_arn": "arn:aws:states:eu-west-1:222222222222:stateMachine:FL",
        "job_parameter": "/fedstack/cms/north/job",
    }
    client = {"name": "north", "mailbox": "s3://mailbox/cms", **(role if kickoff != "none" else {})}
    values = {"clients": [client], "updates": "plain", "address": f"{host}:9092"}
    return PlatformSettings.model_validate(values)


@pytest.mark.parametrize("kickoff", ["broker", "direct"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.4.5.6", "localhost", "0.0.0.0"])  # noqa: S104
def test_a_loopback_address_is_refused_when_jobs_are_started_in_accounts(host: str, kickoff: str) -> None:
    with pytest.raises(FedstackError, match=rf"{host}:9092, which no other machine reaches.*north") as raised:
        address.check_address(started_at(host, kickoff))
    assert raised.value.code is ExitCode.CONFIG
    assert "--address" in raised.value.remedy


def test_a_run_asks_for_its_address_before_anything_else() -> None:
    with pytest.raises(FedstackError, match="which no other machine reaches"):
        server.check(started_at("127.0.0.1"))


@pytest.mark.parametrize(("host", "kickoff"), [("127.0.0.1", "none"), ("10.0.0.7", "broker")])
def test_other_addresses_are_left_to_whoever_gives_them(host: str, kickoff: str) -> None:
    address.check_address(started_at(host, kickoff))


@pytest.mark.parametrize(
    ("endpoint", "refused"),
    [("http://127.0.0.1:5000", False), ("http://localhost:5000", False), ("http://10.0.0.9:5000", True)],
)
def test_a_loopback_address_is_good_where_aws_itself_is_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, refused: bool
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    if refused:
        with pytest.raises(FedstackError, match="which no other machine reaches"):
            address.check_address(started_at("127.0.0.1"))
    else:
        address.check_address(started_at("127.0.0.1"))


def test_auto_stop_sees_a_run_until_its_files_are_kept(
    notebook: ServerNotebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, seen = notebook.home / RUNNING_FILE, dict[str, bool]()

    def engine(asked: RunSettings, _: Path) -> None:
        seen["run"] = federation_runs(lock)
        ended(asked, "COMPLETE", code=0)

    def used(*_: Any, **__: Any) -> dict[str, str]:
        seen["registered"] = federation_runs(lock)
        return {}

    monkeypatch.setattr(ServerNotebook, "here", classmethod(lambda *_: notebook))
    monkeypatch.setattr(server, "ENGINES", dict.fromkeys(Engine, engine))
    monkeypatch.setattr(server, "put_to_use", used)
    monkeypatch.setattr(buckets, "keep_results", lambda *_: seen.update(kept=federation_runs(lock)))
    with pytest.raises(typer.Exit) as ended_with:
        server.main(None, as_json=False, mlflow=None)
    assert ended_with.value.exit_code == 0
    assert seen == {"run": True, "kept": True, "registered": True}
    assert not federation_runs(lock)


def ended(run: RunSettings, verdict: str, **more: Any) -> None:
    """Leave what a run leaves, and files of an earlier one."""
    run.out.mkdir(parents=True, exist_ok=True)
    names = {
        "model": "model.joblib",
        "report": "report.json",
        "page": "report.html",
        "ledger": "ledger.jsonl",
    }
    files = {**names, "checkpoint": "checkpoint.npz"}
    for name in (*files.values(), "old.npz", "curve.png"):
        (run.out / name).write_text(name)
    report = {"run_id": run.run_id, "verdict": verdict, "files": files, **more}
    (run.out / "report.json").write_text(json.dumps(report))


def kept(s3: Any) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket="results").get("Contents", [])]


@pytest.mark.parametrize("verdict", ["COMPLETE", "PARTIAL", "FAILED"])
def test_what_a_run_leaves_is_kept_whatever_its_verdict_and_named(
    s3: Any, tmp_path: Path, verdict: str
) -> None:
    run = settings(tmp_path)
    said: list[str] = []
    with buckets.results_kept(run, RESULTS, said.append):
        ended(run, verdict)
    names = ["ledger.jsonl", "model.joblib", "report.html", "report.json"]
    expected = [f"runs/{run.run_id}/{name}" for name in names]
    if verdict != "COMPLETE":
        expected = [f"runs/{run.run_id}/checkpoint.npz", *expected]
    assert kept(s3) == expected
    assert sorted(said) == [f"kept  s3://results/{key}" for key in expected]


def test_what_an_app_wrote_is_kept_as_well(s3: Any, tmp_path: Path) -> None:
    run = settings(tmp_path)
    with buckets.results_kept(run, RESULTS, lambda _: None):
        ended(run, "COMPLETE", files={"report": "report.json", "app": ["curve.png"]})
    assert kept(s3) == [f"runs/{run.run_id}/curve.png", f"runs/{run.run_id}/report.json"]


def broken_off(run: RunSettings, place: str, said: list[str], error: BaseException) -> None:
    with buckets.results_kept(run, place, said.append):
        ended(run, "FAILED")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FedstackError(ExitCode.QUORUM, "Few.", "More.")])
def test_a_run_that_broke_off_is_kept_too_and_its_own_error_is_the_one_that_is_told(
    s3: Any, tmp_path: Path, error: BaseException
) -> None:
    run = settings(tmp_path)
    said: list[str] = []
    for place, here in ((RESULTS, True), ("s3://nowhere/runs/", False)):
        with pytest.raises(type(error)):
            broken_off(run, place, said, error)
        assert (f"runs/{run.run_id}/ledger.jsonl" in kept(s3)) is True
        assert any(line.startswith("warning: The files of run-") for line in said) is not here


@pytest.mark.usefixtures("s3")
def test_a_complete_run_that_cannot_be_kept_is_an_error_that_says_where_its_files_are(tmp_path: Path) -> None:
    run = settings(tmp_path)
    with (
        pytest.raises(FedstackError, match=r"\(COMPLETE\) cannot be put into s3://nowhere/runs/") as raised,
        buckets.results_kept(run, "s3://nowhere/runs/", lambda _: None),
    ):
        ended(run, "COMPLETE")
    assert f"They are in {run.out}" in raised.value.remedy


def test_the_files_of_an_earlier_run_are_not_kept_as_this_one_s(s3: Any, tmp_path: Path) -> None:
    run = settings(tmp_path)
    ended(run, "COMPLETE", run_id="run-earlier")
    busy = FedstackError(ExitCode.ENGINE, "The port is taken.", "Wait.")
    with pytest.raises(FedstackError, match="port"), buckets.results_kept(run, RESULTS, lambda _: None):
        raise busy
    assert kept(s3) == []


def test_a_probe_for_the_address_leaves_no_socket_behind() -> None:
    host = address.own_address("127.7.7.7/32")
    with socket.socket() as listener:
        listener.bind((host, 0))
