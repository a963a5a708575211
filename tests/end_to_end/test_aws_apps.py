"""A Flower app of one's own in three deployed accounts: its bundle is what the brokers pin."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from journeys import SUMS_ACCOUNTS

from end_to_end.test_aws_runs import artifact, await_end
from rehearsal import federation
from rehearsal.aws.client import Rehearsed
from rehearsal.data import Silos
from rehearsal.deployment import synthesise
from rehearsal.journey import Journey
from rehearsal.processes import PROJECT, Processes
from runtime.contract import FedstackError

pytestmark = pytest.mark.timeout(900)
APP = PROJECT / "examples" / "wine-softmax"


@pytest.mark.timeout(900)
def test_an_app_goes_the_whole_way(
    accounts: Rehearsed, account_silos: Silos, account_processes: Processes, tmp_path: Path
) -> None:
    bundles = tmp_path / "bundles"
    build = [sys.executable, "-m", "cdk_app.bundles", "--app", str(APP), "--out", str(bundles)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    places = {name: {**said, "account": f"3{said['account'][1:]}"} for name, said in SUMS_ACCOUNTS.items()}
    chosen = federation.write(
        tmp_path / "apps.yaml",
        3,
        app=APP,
        **{**places, "silo_1": {**places["silo_1"], "node_config": {"a": 1}}},
    )
    with pytest.raises(FedstackError, match="carry another app or another state of it"):
        synthesise(tmp_path / "apps.yaml", tmp_path / "other")
    synthesise(tmp_path / "apps.yaml", tmp_path / "apps", bundles)
    journey = Journey(accounts, chosen, tmp_path / "apps")
    journey.deploy()
    journey.bring_data(account_silos)
    out = tmp_path / "out"
    options = ["--app", str(APP), "--run-config", "num-server-rounds=2", "--join-seconds", "200"]
    server = journey.start_server(account_processes, out, options)
    assert server.wait(300) == 0
    report = json.loads((out / "report.json").read_text())
    assert (report["verdict"], report["privacy"]["updates"]) == ("COMPLETE", "sums")
    assert report["files"]["app"] == ["federation.json", "model.joblib", "test.csv"]
    for name, client in journey.deployment.clients.items():
        job = f"{client.job_prefix}{report['run_id']}"
        assert await_end(journey, client, job)["TrainingJobStatus"] == "Completed"
        theirs = artifact(journey, client, job, "output").extractfile("ledger.jsonl")
        assert theirs is not None
        started = json.loads(theirs.read().splitlines()[0])
        assert (started["client"], started["app"]) == (name, "wine-softmax")
        sagemaker = journey.deployment.owner(client, "sagemaker")
        said = sagemaker.describe_training_job(TrainingJobName=job)["HyperParameters"]
        assert said.get("node-config") == ("a=1" if name == "silo-1" else None)
    with tarfile.open(next(bundles.glob("client-*.tar.gz"))) as files:
        assert {"bundle.json", "app/pyproject.toml"} <= set(files.getnames())
    journey.destroy()
