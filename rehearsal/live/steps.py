"""The steps of a first deployment, each a row of the table; what it deploys is destroyed whatever happens."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml
from botocore.exceptions import ClientError

from cdk_app.config.load import load
from cdk_app.config.models import Federation
from cdk_app.naming import ClientNames, ServerNames
from rehearsal.data import cut
from rehearsal.deployment import Deployment, synthesise
from rehearsal.journey import LOGS
from rehearsal.live import on_notebook
from rehearsal.live.calls import TEN, task_of, tried_by_administrators
from rehearsal.live.sandbox import Sandbox
from rehearsal.live.table import Table
from rehearsal.residue import kept_on_purpose, residue
from runtime.contract import LINK_PORT, ExitCode, FedstackError
from runtime.tabular.data.silos import Split

NAME: Final = "live"
CLIENT: Final = "silo-0"
FOLDER: Final = "runs/live"
POLL_SECONDS: Final = 15.0
BUCKET: Final = "AWS::S3::Bucket"
OPTIONS: Final = "--strategy fedavg --rounds 3 --updates plain --join-seconds 1500"

Names = ServerNames | ClientNames


def federation_of(server: str, client: str, region: str, zones: tuple[str, str], file: Path) -> Federation:
    """Write the smallest federation: one client, whose updates may leave plain; all of it goes in the end."""
    both = {
        "region": region,
        "availability_zones": list(zones),
        "delete_data": True,
        "termination_protection": False,
    }
    said: dict[str, Any] = {
        "name": NAME,
        "tags": {"project": "fedstack-live"},
        "run": {"instance_type": "ml.m5.large", "max_runtime_minutes": 30},
        "server": {"account": server, "cidr": "10.250.0.0/24", "notebook_type": "ml.t3.medium", **both},
        "clients": [
            {
                "name": CLIENT,
                "account": client,
                "cidr": "10.250.1.0/24",
                "privacy": {"updates": "plain", "max_answers": 1000},
                **both,
            }
        ],
    }
    file.write_text(yaml.safe_dump(said, sort_keys=False))
    return load(file)


class Live:
    """One such deployment.

    Parameters
    ----------
    sandbox
        The two accounts.
    table
        Gets a row for each step.
    ask_operator
        Told what a person has to paste into a terminal of the server's notebook.
    wait_seconds
        How long that person, and the run, may take.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        federation: Federation,
        work: Path,
        table: Table,
        *,
        ask_operator: Callable[[str], None],
        wait_seconds: float = 5400.0,
    ) -> None:
        self._sandbox, self._federation, self._work, self._table = sandbox, federation, work, table
        self._ask_operator, self._wait_seconds = ask_operator, wait_seconds
        self.deployment = Deployment(sandbox, federation, work / "cdk.out")
        self._places: tuple[Names, ...] = (self.deployment.server, self.deployment.clients[CLIENT])

    def run(self) -> None:
        """Do everything, and destroy everything."""
        step = self._table.step
        with step("templates (cdk synth)"):
            synthesise(
                self._work / "federation.yaml", self._work / "cdk.out", context=(f"delete_data={NAME}",)
            )
        before = self._left()
        try:
            with step("cdk bootstrap, deploy, peering, consent"):
                self.deployment.deploy()
            with step("a test set and a silo of the stand-in, by their owners"):
                self._bring_data()
            self._preflight()
            with step("a run of three rounds, and the server's five forbidden calls") as row:
                result = self._federate()
                row.result, row.passed = str(result["verdict"]), result["verdict"] == "COMPLETE"
            self._table.refusals(result["forbidden"])
            with step("the administrators' five forbidden calls"):
                found = tried_by_administrators(self.deployment, CLIENT)
            self._table.refusals(found)
            if missing := [name for name in TEN if name not in {**result["forbidden"], **found}]:
                raise FedstackError(ExitCode.ENGINE, f"not tried: {', '.join(missing)}.", "Mend live.")
        finally:
            self._destroy(before)

    def _destroy(self, before: list[str]) -> None:
        """Destroy what is there, and name what is left of it, also where that failed."""
        try:
            with self._table.step("cdk destroy"):
                self._empty()
                self.deployment.destroy()
        finally:
            with self._table.step("what is left, but for the jobs' logs, which are SageMaker's") as row:
                extra = {*self._left()} - {*before}
                row.result, row.passed = (", ".join(sorted(extra)) or "nothing"), not extra

    def _preflight(self) -> None:
        """Look at both sides before a job is paid for, where the project has a preflight."""
        if importlib.util.find_spec("cdk_app.preflight") is None:
            return
        where = (
            "--federation",
            str(self._work / "federation.yaml"),
            "--assembly",
            str(self._work / "cdk.out"),
        )
        for names, side in zip(self._places, (("server",), ("client", CLIENT)), strict=True):
            with self._table.step(f"preflight of the {side[0]}"):
                self._sandbox.python(
                    names.account, names.region, "cdk_app.preflight", "--side", *side, *where
                )

    def _bring_data(self) -> None:
        silos = cut(None, self._work, clients=1, how=Split.IID, seed=0)
        server, client = self._places
        bucket = partial(self.deployment.resource, kind=BUCKET)
        s3 = self.deployment.owner(server, "s3")
        s3.upload_file(str(silos.test_file), bucket(server, "StorageTestData"), "test/test.csv")
        s3 = self.deployment.owner(client, "s3")
        s3.upload_file(str(silos.file(CLIENT)), bucket(client, "StorageData"), f"train/{CLIENT}.csv")

    def task(self) -> dict[str, str]:
        """Return what the notebook is to do."""
        server = self.deployment.server
        return {
            **task_of(self.deployment, CLIENT),
            "cidr": self._federation.server.cidr,
            "port": str(LINK_PORT),
            "test_bucket": self.deployment.resource(server, "StorageTestData", BUCKET),
            "options": OPTIONS,
        }

    def _federate(self) -> dict[str, Any]:
        """Leave the task for the notebook, ask the operator to start it, and wait for its result."""
        server = self.deployment.server
        s3, bucket = (
            self.deployment.owner(server, "s3"),
            self.deployment.resource(server, "StorageResults", BUCKET),
        )
        script = Path(on_notebook.__file__).read_bytes()
        for name, body in (("on_notebook.py", script), ("task.json", json.dumps(self.task()).encode())):
            s3.put_object(Bucket=bucket, Key=f"{FOLDER}/{name}", Body=body)
        place = f"s3://{bucket}/{FOLDER}"
        run = f"aws s3 cp {place}/on_notebook.py - | fedstack/venv/bin/python - {place}"
        self._ask_operator(f"export AWS_DEFAULT_REGION={server.region}; {run}")
        deadline = time.monotonic() + self._wait_seconds
        while time.monotonic() < deadline:
            try:
                answer = s3.get_object(Bucket=bucket, Key=f"{FOLDER}/result.json")["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                time.sleep(POLL_SECONDS)
            else:
                result: dict[str, Any] = json.loads(answer)
                return result
        raise FedstackError(
            ExitCode.RUN_DEADLINE,
            f"No result came to {place} in {self._wait_seconds / 60:.0f} minutes.",
            "Look at STATUS in the notebook's fedstack folder, and at the terminal into which you pasted.",
        )

    def _empty(self) -> None:
        """Delete every version of every object of the stacks' buckets, which CloudFormation does not."""
        for names in self._places:
            if not self.deployment.exists(names, names.stack):
                continue
            s3 = self.deployment.owner(names, "s3")
            for bucket in self.deployment.resources(names, "Storage", BUCKET):
                for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                    for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                        s3.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])

    def _left(self) -> list[str]:
        """Return what there is in both accounts: what was there before is told from what is left."""
        return [
            f"{names.account} {kind}: {name}" for names in self._places for kind, name in self._found(names)
        ]

    def _found(self, names: Names) -> Iterator[tuple[str, str]]:
        found = residue(lambda service: self.deployment.owner(names, service))
        for kind, left in kept_on_purpose(found, {LOGS}).items():
            for name in left:
                yield kind, name
