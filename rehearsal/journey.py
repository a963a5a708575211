"""The whole journey of a federation on AWS, on this machine: deploy, bring data, federate, destroy."""

from __future__ import annotations

import io
import json
import random
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from cdk_app.config.models import Federation
from cdk_app.config.roster import roster_json
from cdk_app.naming import ClientNames, ServerNames
from rehearsal.aws.client import Rehearsed
from rehearsal.data import Parts, Silos
from rehearsal.deployment import Deployment, at_once
from rehearsal.link.waiting import eventually
from rehearsal.processes import Processes
from rehearsal.residue import kept_on_purpose, residue
from runtime.contract import LINK_PORT
from runtime.tabular.data.schema import SCHEMA_FILE

LOGS: Final = "/aws/sagemaker/TrainingJobs"
BUCKET: Final = "AWS::S3::Bucket"


class Journey:
    """One federation in the emulated accounts."""

    def __init__(self, aws: Rehearsed, federation: Federation, assembly: Path) -> None:
        self.aws, self.federation = aws, federation
        self.deployment = Deployment(aws, federation, assembly)
        self._retained: dict[str, set[str]] = {}

    def deploy(self) -> None:
        """Make the accounts ready and deploy every stack."""
        self.deployment.deploy()

    def bring_data(self, silos: Silos | Parts) -> None:
        """Let each client's notebook put its silo into its bucket, and the server's owner the test set."""
        at_once(lambda client: self.upload(client.name, silos.file(client.name)), self.federation.clients)
        if not silos.test_file.exists():
            return
        server = self.deployment.server
        bucket = self.bucket(server, "StorageTestData")
        for file in (silos.test_file, silos.test_file.with_name(SCHEMA_FILE)):
            if file.exists():
                self.deployment.owner(server, "s3").upload_file(str(file), bucket, f"test/{file.name}")

    def upload(self, client: str, file: Path) -> None:
        """Put a silo, a file with its schema or a folder, into its account's data bucket."""
        names = self.deployment.clients[client]
        s3 = self.aws.client(self.deployment.notebook(names), names.region, "s3")
        bucket, folder = self.bucket(names, "StorageData"), file.parent if file.is_file() else file
        beside = [path for path in (file, folder / SCHEMA_FILE) if path.is_file()]
        for each in beside if file.is_file() else [path for path in file.rglob("*") if path.is_file()]:
            s3.upload_file(str(each), bucket, f"train/{each.relative_to(folder).as_posix()}")

    def bucket(self, names: ServerNames | ClientNames, prefix: str) -> str:
        """Return the name of a stack's bucket."""
        return self.deployment.resource(names, prefix, BUCKET)

    def start_server(
        self, processes: Processes, out: Path, options: Sequence[str], log: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start the server script as the server's notebook would, with that notebook's role."""
        names = self.deployment.server
        keys = self.deployment.notebook(names)
        roster, test = out / "federation.json", out / "test.csv"
        out.mkdir(parents=True, exist_ok=True)
        roster.write_text(roster_json(self.federation))
        s3 = self.aws.client(keys, names.region, "s3")
        bucket = self.bucket(names, "StorageTestData")
        s3.download_file(bucket, "test/test.csv", str(test))
        with suppress(ClientError):  # without a schema the columns are those of the CMS file
            s3.download_file(bucket, f"test/{SCHEMA_FILE}", str(out / SCHEMA_FILE))
        return processes.start(
            *(sys.executable, "-m", "runtime.server.server", "--federation", str(roster)),
            *("--test-data", str(test), "--out", str(out), "--address", f"{private_address()}:{LINK_PORT}"),
            *self._behind_balancer(),
            *options,
            log=log,
            environment=self.aws.environment(keys, names.region),
        )

    def _behind_balancer(self) -> list[str]:
        """Return what a server's notebook tells a run of its load balancer, where clients need one."""
        kind = "AWS::ElasticLoadBalancingV2::TargetGroup"
        found = self.deployment.resources(self.deployment.server, "LinkService", kind)
        return [f"--target-group={found[0]}"] if found else []

    def as_server(self, client: ClientNames, service: str) -> Any:
        """Return a service of a client's account as the server has it: with the role that it may take."""
        keys = self.deployment.notebook(self.deployment.server)
        role = self.aws.assume(keys, client.kickoff_role_arn, ExternalId=client.external_id)
        return self.aws.client(role, client.region, service)

    def await_end(self, client: ClientNames, job: str) -> dict[str, Any]:
        """Wait until a job is over; return its description."""
        sagemaker = self.deployment.owner(client, "sagemaker")

        def described() -> dict[str, Any]:
            found: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=job)
            return found

        eventually(lambda: described()["TrainingJobStatus"] not in ("InProgress", "Stopping"), f"{job}'s end")
        return described()

    def artifact(self, client: ClientNames, job: str, archive: str, file: str) -> bytes:
        """Return a file of what a job left in its account's artifact bucket, as its owner sees it.

        Raises
        ------
        KeyError
            When the archive (`model` or `output`) has no such file.
        """
        s3, key = self.deployment.owner(client, "s3"), f"models/{job}/output/{archive}.tar.gz"
        body = s3.get_object(Bucket=self.bucket(client, "StorageArtifacts"), Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(body)) as whole, whole.extractfile(file) or io.BytesIO() as one:
            return one.read()

    def keep_results(self, out: Path) -> list[str]:
        """Put what a run left into the results bucket, with the server notebook's role; return the keys."""
        names = self.deployment.server
        s3 = self.aws.client(self.deployment.notebook(names), names.region, "s3")
        run = json.loads((out / "report.json").read_text())["run_id"]
        sent = [name for name in ("report.json", "ledger.jsonl", "model.joblib") if (out / name).exists()]
        for name in sent:
            s3.upload_file(str(out / name), self.bucket(names, "StorageResults"), f"runs/{run}/{name}")
        return [f"runs/{run}/{name}" for name in sent]

    def destroy(self) -> None:
        """Note what each stack keeps, then destroy all of them."""
        for names in self.places():
            kept = self.kept(names) if self.deployment.exists(names, names.stack) else set()
            self._retained.setdefault(names.account, set()).update(kept)
        self.deployment.destroy()

    def residue(self) -> tuple[dict[str, dict[str, list[str]]], dict[str, list[str]]]:
        """Return what is left in each account that should not be, and the data that are kept."""
        left, kept = {}, {}
        for names in self.places():
            place = self.deployment.place(names.account, names.region)
            found = residue(
                lambda service, names=names: self.deployment.owner(names, service),  # type: ignore[misc]
                place.bootstrap_qualifier,
            )
            retained = self._retained[names.account]
            if rest := kept_on_purpose(found, retained | {LOGS}):
                left[names.account] = rest
            kept[names.account] = [name for kind in found.values() for name in kind if name in retained]
        return left, kept

    def places(self) -> list[ServerNames | ClientNames]:
        """Return every account."""
        return [self.deployment.server, *self.deployment.clients.values()]

    def kept(self, names: ServerNames | ClientNames) -> set[str]:
        """Return the physical ids of what a stack's template says to retain."""
        cloudformation = self.deployment.owner(names, "cloudformation")
        template = json.loads((self.deployment.assembly / f"{names.stack}.template.json").read_text())
        resources = cloudformation.describe_stack_resources(StackName=names.stack)["StackResources"]
        return {
            one["PhysicalResourceId"]
            for one in resources
            if template["Resources"][one["LogicalResourceId"]].get("DeletionPolicy") == "Retain"
        }


def private_address() -> str:
    """Return an address of this machine's loopback for a server, so that two rehearsals never meet.

    Linux answers on all of 127.0.0.0/8; elsewhere there may only be 127.0.0.1.
    """
    for _ in range(20):
        address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
        try:
            with socket.socket() as probe:
                probe.bind((address, LINK_PORT))
            return address
        except OSError:
            continue
    return "127.0.0.1"


def interrupt(server: subprocess.Popen[bytes]) -> int:
    """Stop the server script as Ctrl-C does, and wait for its end; return its exit code."""
    server.send_signal(signal.SIGINT)
    return server.wait(60)
