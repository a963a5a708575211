"""Whole runs over deployed accounts: to the end, with a job that fails, with a client that withdraws."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_data import MARK

from rehearsal.data import Silos
from rehearsal.journey import Journey
from rehearsal.processes import Processes
from runtime.client.privacy_policy import PrivacyPolicy
from runtime.contract import ExitCode
from runtime.tabular.client_gain import MODELS

pytestmark = pytest.mark.timeout(900)

LEAST_ROWS = PrivacyPolicy().min_rows
PLAIN = ("--updates", "plain")
"""Two clients are no sum: their owners allow plain updates."""


def ledger(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_completes_and_every_account_has_its_model_and_its_log(
    journey: Journey, account_processes: Processes, tmp_path: Path
) -> None:
    options = [*PLAIN, "--strategy", "fedavg", "--rounds", "3", "--join-seconds", "200"]
    server = journey.start_server(account_processes, tmp_path, options)
    assert server.wait(300) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "COMPLETE"
    started = {
        e["client"]: e["by"]
        for e in ledger((tmp_path / "ledger.jsonl").read_text())
        if e["event"] == "started"
    }
    assert started == {"silo-0": "broker", "silo-1": "direct"}
    gained = {one["name"]: one["value"] for one in report["clients"]}
    for client in journey.deployment.clients.values():
        job = f"{client.job_prefix}{report['run_id']}"
        assert journey.await_end(client, job)["TrainingJobStatus"] == "Completed"
        assert journey.artifact(client, job, "model", "model.joblib")
        own = json.loads(journey.artifact(client, job, "output", "value.json"))
        counts = (own["positives"], own["rows"] - own["positives"])
        if any(0 < count < LEAST_ROWS for count in counts):  # then its owner alone may see them
            own = {
                **dict.fromkeys(("rows", "positives"), 0),
                **{model: dict.fromkeys(own[model]) for model in MODELS},
                "gain": {**dict.fromkeys(own["gain"]), "score": "roc_auc"},
            }
        assert own == gained[client.client]
        logs = journey.deployment.owner(client, "logs")
        stream = logs.describe_log_streams(
            logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job}/"
        )["logStreams"][0]["logStreamName"]
        events = logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream)[
            "events"
        ]
        assert any("Reporting training SUCCESS" in event["message"] for event in events)
    assert journey.keep_results(tmp_path)


def test_what_a_run_spends_of_privacy_is_in_the_ledger_of_each_account(
    journey: Journey, account_processes: Processes, tmp_path: Path
) -> None:
    """The job's own role creates the entries, and reads those before; whoever started the job."""
    private = ["--rounds", "2", "--privacy-epsilon", "3", "--join-seconds", "200"]
    server = journey.start_server(account_processes, tmp_path, private)
    assert server.wait(300) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    told = report["privacy"]["differential_privacy"]["clients"]
    for name, client in journey.deployment.clients.items():
        journey.await_end(client, f"{client.job_prefix}{report['run_id']}")
        bucket, s3 = journey.bucket(client, "StorageArtifacts"), journey.deployment.owner(client, "s3")
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="privacy/", Delimiter="/")
        keys = [one["Key"] for one in listed.get("Contents", [])]
        assert keys == [f"privacy/{number:08d}.json" for number in range(2)]
        last = json.loads(s3.get_object(Bucket=bucket, Key=keys[-1])["Body"].read())
        assert told[name]["epsilon"] == pytest.approx(3.0)
        assert told[name]["epsilon-spent"] == pytest.approx(last["epsilon"])
        assert last["epsilon"] == pytest.approx(3.0)


@pytest.fixture
def broken_data(journey: Journey, account_silos: Silos, tmp_path: Path) -> Iterator[None]:
    bad = tmp_path / "silo-0.csv"
    bad.write_text(f"{MARK},is,no\nsilo,at,all\n")
    journey.upload("silo-0", bad)
    yield
    journey.upload("silo-0", account_silos.file("silo-0"))


@pytest.mark.usefixtures("broken_data")
def test_a_job_that_fails_at_its_start_ends_the_wait_with_its_reason(
    journey: Journey, account_processes: Processes, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    began = time.monotonic()
    server = journey.start_server(account_processes, out, [*PLAIN, "--join-seconds", "600"])
    assert server.wait(300) == ExitCode.JOB
    assert time.monotonic() - began < 240, "it waited for a client that could not come"
    report = json.loads((out / "report.json").read_text())
    assert report["verdict"] == "FAILED"
    assert "silo-0: its job failed: JobFailed" in report["reason"]
    assert f"fedstack-error {int(ExitCode.DATA)} DATA" in report["reason"]
    client = journey.deployment.clients["silo-0"]
    job = journey.await_end(client, f"{client.job_prefix}{report['run_id']}")
    began_by = [e for e in ledger((out / "ledger.jsonl").read_text()) if e["event"] == "started"]
    execution = next(e["what"] for e in began_by if e["client"] == "silo-0")
    broker = journey.deployment.owner(client, "stepfunctions").describe_execution(executionArn=execution)
    assert "the header, column 1" in job["FailureReason"]
    assert "the header, column 1" in broker["cause"]
    kept = [file.read_text(errors="replace") for file in out.rglob("*") if file.is_file()]
    assert MARK not in "".join([job["FailureReason"], str(broker), *kept])


def test_a_client_withdraws_in_mid_run_and_its_job_is_stopped(
    journey: Journey, account_processes: Processes, tmp_path: Path
) -> None:
    client = journey.deployment.clients["silo-0"]
    ssm = journey.deployment.owner(client, "ssm")
    lasting = [*PLAIN, "--strategy", "fedavg", "--rounds", "100"]
    options = [*lasting, "--min-clients", "1", "--join-seconds", "200", "--round-seconds", "60"]
    server = journey.start_server(account_processes, tmp_path, options)
    try:
        wait_for_round(tmp_path / "ledger.jsonl")
        ssm.put_parameter(Name=client.participation, Value="off", Type="String", Overwrite=True)
        code = server.wait(300)
    finally:
        ssm.put_parameter(Name=client.participation, Value="on", Type="String", Overwrite=True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (code, report["verdict"]) == (ExitCode.PARTIAL, "PARTIAL")
    mine = ledger((tmp_path / "ledger.jsonl").read_text())
    gone = [e for e in mine if e["event"] == "job_failed" and e["client"] == "silo-0"]
    assert "ParticipationOff" in gone[0]["reason"]
    job = f"{client.job_prefix}{report['run_id']}"
    assert journey.await_end(client, job)["TrainingJobStatus"] == "Stopped"
    theirs = journey.artifact(client, job, "output", "ledger.jsonl")
    events = [entry["event"] for entry in ledger(theirs.decode())]
    assert events[0] == "started"
    assert 0 < events.count("answered") < 200, "it went on after its owner withdrew"


def wait_for_round(path: Path) -> None:
    deadline = time.monotonic() + 200
    while not path.exists() or '"round"' not in path.read_text():
        assert time.monotonic() < deadline, "no round was played"
        time.sleep(0.2)
