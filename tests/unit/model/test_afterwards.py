"""Right after its run a model is registered and tracked; whatever fails then, the run's result stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from model_run import ModelRun
from moto import mock_aws
from moto_stack import REGION
from server_fixture import settings

from runtime.contract import ExitCode, FedstackError
from runtime.model import command, place, registry
from runtime.server import server
from runtime.server.model import afterwards, tracking
from runtime.server.model.afterwards import put_to_use
from runtime.server.notebook import buckets
from runtime.server.notebook.place import ServerNotebook
from runtime.server.settings import Engine, PlatformSettings

TOLD = {"region": REGION, "results": "s3://results/runs/"}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An account whose notebook was told its bucket of results."""
    tell(monkeypatch, TOLD)
    with mock_aws():
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
        yield boto3.client("sagemaker", region_name=REGION)


def tell(monkeypatch: pytest.MonkeyPatch, told: Mapping[str, Any]) -> None:
    for module in (place, command, registry):
        monkeypatch.setattr(module, "installed", lambda: told)


def report_in(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    return report


def test_a_notebook_s_model_is_registered_when_its_run_ends_and_awaits_approval(
    model_run: ModelRun, account: Any
) -> None:
    said: list[str] = []
    report = report_in(model_run.out)
    done = put_to_use(model_run.out, report, registers=True, mlflow=None, say=said.append)
    assert said == [f"registered  {done['model_package']}, which awaits approval"]
    package = account.describe_model_package(ModelPackageName=done["model_package"])
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"]["run_id"] == "run-1"


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("changed", [{"verdict": "FAILED"}, {"files": {"report": "report.json"}}])
def test_a_failed_run_and_one_without_a_model_of_ours_are_not_registered(
    model_run: ModelRun, changed: dict[str, Any]
) -> None:
    said: list[str] = []
    report = {**report_in(model_run.out), **changed}
    assert put_to_use(model_run.out, report, registers=True, mlflow=None, say=said.append) == {}
    assert said == []


def refuse(_: Path) -> str:
    raise FedstackError(ExitCode.IDENTITY, "Nobody may.", "Ask.")


def break_down(_: Path) -> str:
    raise ZeroDivisionError("by zero\nCOMPLETE")


def interrupt(_: Path) -> str:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("register", "why"),
    [(refuse, "Nobody may. Ask."), (break_down, "ZeroDivisionError"), (interrupt, "it was stopped.")],
)
def test_what_cannot_be_registered_is_said_in_one_line_with_what_to_do(
    model_run: ModelRun, monkeypatch: pytest.MonkeyPatch, register: Any, why: str
) -> None:
    monkeypatch.setattr(afterwards, "_register", register)
    said: list[str] = []
    report = report_in(model_run.out)
    assert put_to_use(model_run.out, report, registers=True, mlflow=None, say=said.append) == {}
    [line] = said
    assert "\n" not in line
    assert f"The model is not registered: {why}" in line
    assert f"`fedstack model register {model_run.out}`" in line


def told_by_main(
    monkeypatch: pytest.MonkeyPatch,
    run: PlatformSettings,
    verdict: Mapping[str, Any],
    capfd: pytest.CaptureFixture[str],
    **given: Any,
) -> tuple[int, dict[str, Any], str]:
    """Call `fedstack run` on a notebook, whose engine leaves this report."""

    def engine(asked: PlatformSettings, _: Path) -> None:
        report = {"run_id": asked.run_id, "files": {"model": "model.joblib"}, **verdict}
        (asked.out / "report.json").write_text(json.dumps(report))
        if verdict["verdict"] == "FAILED":
            raise FedstackError(ExitCode.QUORUM, "Few.", "More.")

    told = ServerNotebook(home=run.out, cidr="127.0.0.0/8", **PLACES)
    monkeypatch.setattr(ServerNotebook, "here", classmethod(lambda *_: told))
    monkeypatch.setattr(server, "read_settings", lambda *_: run)
    monkeypatch.setattr(server, "check", lambda _: None)
    monkeypatch.setattr(server, "ENGINES", dict.fromkeys(Engine, engine))
    monkeypatch.setattr(buckets, "keep_results", lambda *_: None)
    with pytest.raises((typer.Exit, FedstackError)) as ended:
        server.main(None, as_json=True, mlflow=given.get("mlflow"))
    said = capfd.readouterr()
    ending = ended.value
    code = ending.code if isinstance(ending, FedstackError) else getattr(ending, "exit_code", None)
    assert isinstance(code, int)
    return code, json.loads(said.out or "{}"), said.err


PLACES = {"test_data": "s3://test/test/", "results": "s3://results/runs/"}


@pytest.mark.parametrize(("verdict", "code"), [("COMPLETE", 0), ("PARTIAL", 22)])
def test_a_registry_that_fails_costs_no_verdict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    verdict: str,
    code: int,
) -> None:
    monkeypatch.setattr(afterwards, "_register", break_down)
    run = settings(tmp_path)
    run.out.mkdir(exist_ok=True)
    ended, told, err = told_by_main(monkeypatch, run, {"verdict": verdict, "code": code}, capfd)
    assert (ended, told["verdict"], "model_package" in told) == (code, verdict, False)
    assert "warning: The model is not registered: ZeroDivisionError" in err
    assert report_in(run.out)["verdict"] == verdict


def test_a_run_is_tracked_where_it_is_told_to_even_a_failed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tracked: list[str] = []
    monkeypatch.setattr(afterwards, "_register", lambda _: "arn")

    def track(_: Path, uri: str) -> str:
        tracked.append(uri)
        return "mlflow-1"

    monkeypatch.setattr(afterwards, "_track", track)
    run, uri = settings(tmp_path), "https://me:secret@mlflow.example.org"
    run.out.mkdir(exist_ok=True)
    code, told, err = told_by_main(monkeypatch, run, {"verdict": "COMPLETE", "code": 0}, capfd, mlflow=uri)
    assert (code, told["model_package"], told["mlflow_run"]) == (0, "arn", "mlflow-1")
    failed = {"verdict": "FAILED", "code": 21}
    code, told, more = told_by_main(monkeypatch, run, failed, capfd, mlflow=uri)
    assert (code, told, tracked) == (21, {}, [uri, uri])
    assert "secret" not in err + more


def test_a_place_that_is_none_is_refused_before_the_run_and_no_password_is_printed() -> None:
    with pytest.raises(FedstackError, match=r"'ftp://x' is no place of MLflow's") as raised:
        tracking.check("ftp://me:secret@x")
    assert raised.value.code is ExitCode.CONFIG
    for uri in ("http://localhost:5000", "sqlite:////tmp/mlflow.db", "databricks"):
        tracking.check(uri)


def test_a_tracking_server_that_does_not_answer_is_a_warning(
    model_run: ModelRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any) -> tuple[str, bool]:
        with tracking._said("https://me:secret@nowhere"):
            raise OSError("https://me:secret@nowhere does not answer")

    monkeypatch.setattr(tracking, "track", unreachable)
    said: list[str] = []
    report = report_in(model_run.out)
    assert put_to_use(model_run.out, report, registers=False, mlflow="https://nowhere", say=said.append) == {}
    assert "The run is not tracked: MLflow at https://nowhere does not take the run" in said[0]
    assert "secret" not in said[0]
