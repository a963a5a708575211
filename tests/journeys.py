"""One emulated AWS with one federation in it, deployed once, for all tests of the journey."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal import federation
from rehearsal.aws.client import Rehearsed
from rehearsal.data import Silos, cut
from rehearsal.deployment import at_once, synthesise
from rehearsal.journey import Journey
from rehearsal.processes import PROJECT, Processes
from runtime.task.silos import Split

DIRECT = {"kickoff": "direct"}


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    with Processes() as running:
        yield running


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journey")


@pytest.fixture(scope="session")
def silos(work: Path) -> Silos:
    return cut(None, work, clients=3, how=Split.FEATURE, seed=0)


@pytest.fixture(scope="session")
def whole(work: Path, processes: Processes) -> Journey:
    """Return a federation of three, of which nothing is deployed yet; the second is started directly."""
    if not (PROJECT / "dist" / "bundles" / "bundles.json").exists():
        subprocess.run([sys.executable, "-m", "cdk_app.bundles"], cwd=PROJECT, check=True)
    chosen = federation.write(work / "three.yaml", 3, silo_1=DIRECT)
    synthesise(work / "three.yaml", work / "three")
    return Journey(Rehearsed.start(processes, work / "aws"), chosen, work / "three")


@pytest.fixture(scope="session")
def journey(whole: Journey, work: Path, silos: Silos) -> Journey:
    """Return the same federation while it has its first two clients only: deployed, with data."""
    two = whole.federation.model_copy(update={"clients": whole.federation.clients[:2]})
    (work / "two.yaml").write_text((work / "three.yaml").read_text().partition("- name: silo-2")[0])
    synthesise(work / "two.yaml", work / "two")
    small = Journey(whole.aws, two, work / "two")
    small.deploy()
    at_once(lambda client: small.upload(client.name, silos.file(client.name)), two.clients)
    server = small.deployment.server
    bucket = small.bucket(server, "StorageTestData")
    small.deployment.owner(server, "s3").upload_file(str(silos.test_file), bucket, "test/test.csv")
    return small
