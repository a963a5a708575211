"""Three deployed accounts in sums: after the built-in app another, whose bundle the brokers pin."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from journeys import SUMS_ACCOUNTS
from table_runs import clinic, split

from cdk_app.project import PACKAGES
from end_to_end.package_owner import PackageDeployment, owner_of
from rehearsal import federation
from rehearsal.deployment import at_once, synthesise
from rehearsal.journey import Journey
from rehearsal.processes import Processes
from runtime.sides import load
from runtime.tabular.data.schema import SCHEMA_FILE
from runtime.verify import verdict

APP = PACKAGES / "examples" / "wine-softmax"


def run(journey: Journey, processes: Processes, out: Path, *options: str) -> dict[str, Any]:
    """Run to the end; each account's ledger must agree with the server's."""
    server = journey.start_server(processes, out, [*options, "--join-seconds", "200"])
    assert server.wait(300) == 0
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert (report["verdict"], report["privacy"]["updates"]) == ("COMPLETE", "sums")
    assert report["privacy"]["visible"] == []
    for name, client in journey.deployment.clients.items():
        job = f"{client.job_prefix}{report['run_id']}"
        assert journey.await_end(client, job)["TrainingJobStatus"] == "Completed"
        (out / f"{name}.jsonl").write_bytes(journey.artifact(client, job, "output", "ledger.jsonl"))
        said = verdict([load(out / "ledger.jsonl"), load(out / f"{name}.jsonl")])
        assert f"answers of {name} match one to one" in said
    return report


def forget_schema(journey: Journey) -> None:
    """Take the schema away again: the tables that come after this one have none beside them."""
    deployment = journey.deployment
    for names in deployment.clients.values():
        bucket = journey.bucket(names, "StorageData")
        deployment.owner(names, "s3").delete_object(Bucket=bucket, Key=f"train/{SCHEMA_FILE}")
    bucket = journey.bucket(deployment.server, "StorageTestData")
    deployment.owner(deployment.server, "s3").delete_object(Bucket=bucket, Key=f"test/{SCHEMA_FILE}")


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("first_run")
def test_after_the_built_in_app_another_one_runs_and_its_updates_leave_in_sums_as_well(
    summed: Journey, account_processes: Processes, tmp_path: Path
) -> None:
    """First the built-in app on a foreign table: its schema travels to train/ and test/ with the data."""
    table = split(tmp_path / "table", clinic())
    summed.bring_data(table.silos)
    report = run(summed, account_processes, tmp_path / "built-in")
    forget_schema(summed)
    assert (report["strategy"], report["stopped"]) == ("fednewton", "converged")
    assert report["classes"] == ["no", "yes"]
    assert "site=(other)" in {row["term"] for row in report["coefficients"]["rows"]}
    assert [one["samples"] for one in report["clients"]] == [0, 0, 0]

    bundles, file = tmp_path / "bundles", tmp_path / "apps.yaml"
    build = [sys.executable, "-m", "fedstack", "bundle", "--app", str(APP), "--out", str(bundles)]
    subprocess.run(build, cwd=PACKAGES, check=True, capture_output=True)
    with tarfile.open(next(bundles.glob("client-*.tar.gz"))) as files:
        assert {"bundle.json", "app/pyproject.toml"} <= set(files.getnames())
    places = {**SUMS_ACCOUNTS, "silo_1": {**SUMS_ACCOUNTS["silo_1"], "node_config": {"a": 1}}}
    chosen = federation.write(file, 3, app=APP, **places)
    synthesise(file, tmp_path / "apps", bundles)
    journey = Journey(summed.aws, chosen, tmp_path / "apps")
    owner = owner_of(summed)
    owner.receive(file, bundles)  # an update, from a new package
    journey.deployment = PackageDeployment(summed.aws, chosen, tmp_path / "apps", owner)
    at_once(journey.deployment.deploy_client, chosen.clients)
    out = tmp_path / "app"
    report = run(journey, account_processes, out, "--app", str(APP), "--run-config", "num-server-rounds=2")
    assert report["files"]["app"] == ["model.joblib"]
    for name, client in journey.deployment.clients.items():
        started = json.loads((out / f"{name}.jsonl").read_text().splitlines()[0])
        assert (started["client"], started["app"]) == (name, "wine-softmax")
        job = f"{client.job_prefix}{report['run_id']}"
        sagemaker = journey.deployment.owner(client, "sagemaker")
        said = sagemaker.describe_training_job(TrainingJobName=job)["HyperParameters"]
        assert said.get("node-config") == ("a=1" if name == "silo-1" else None)
