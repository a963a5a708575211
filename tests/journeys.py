"""One emulated AWS with two federations in it, each deployed once, for all tests of the journey."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from end_to_end.package_owner import with_package
from end_to_end.walk import FirstRun, Walk

from cdk_app.config.models import ClientAccount
from cdk_app.project import PACKAGES
from rehearsal import federation
from rehearsal.aws.client import Rehearsed
from rehearsal.data import Silos, cut
from rehearsal.deployment import at_once, synthesise
from rehearsal.journey import Journey
from rehearsal.processes import Processes
from runtime.tabular.data.silos import Split

DIRECT = {"kickoff": "direct"}
PLAIN = {"updates": "plain", "max_answers": 1000}
SUMS_ACCOUNTS: dict[str, Any] = {
    "server": {"account": "200000000000"},
    **{f"silo_{number}": {"account": f"{200_000_000_001 + number}"} for number in range(3)},
}
SUMS_ACCOUNTS["silo_2"] |= {"deployed_by": "arn:aws:iam::200000000003:user/administrator"}
WITH_PACKAGE = {"deployed_by": "arn:aws:iam::100004444444:user/administrator"}
"""Of the third client in a rehearsal's own accounts: its administrator deploys, nobody bootstraps."""


@pytest.fixture(scope="session")
def account_processes() -> Iterator[Processes]:
    with Processes() as running:
        yield running


@pytest.fixture(scope="session")
def accounts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journey")


@pytest.fixture(scope="session")
def account_silos(accounts_folder: Path) -> Silos:
    return cut(None, accounts_folder, clients=3, how=Split.FEATURE, seed=0)


@pytest.fixture(scope="session")
def accounts(accounts_folder: Path, account_processes: Processes) -> Rehearsed:
    if not (PACKAGES / "dist" / "bundles" / "bundles.json").exists():
        subprocess.run([sys.executable, "-m", "fedstack", "bundle"], cwd=PACKAGES, check=True)
    return Rehearsed.start(account_processes, accounts_folder / "aws")


@pytest.fixture(scope="session")
def operator_key(accounts_folder: Path) -> Path:
    """Return the SSH key with which the server's operator signs packages."""
    key = accounts_folder / "operator"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


def made_key(accounts: Rehearsed, client: ClientAccount) -> str:
    """Make a KMS key of an account's owner, who decides by IAM who may use it; return its ARN."""
    # Of two clients the second is in another Region than of three.
    kms = accounts.client(accounts.administrator(client.account), federation.HOME, "kms")
    return str(kms.create_key(Description="Published files")["KeyMetadata"]["Arn"])


@pytest.fixture(scope="session")
def three(accounts_folder: Path, accounts: Rehearsed, operator_key: Path) -> Journey:
    """Return a federation of three, of which nothing is deployed yet; the second is started directly.

    Their owners let updates leave plain: a server that writes the second's job could leave its policy out,
    and for a while there are only two. Those two have had the buckets of their `cdk bootstrap` made under
    keys of their own, and the first has another qualifier. The server's roles
    are under a path, with a prefix. The third's owner has neither CDK nor Python, but
    a package.
    """
    file = accounts_folder / "three.yaml"
    bootstraps = [
        {"asset_key_arn": made_key(accounts, client)}
        for client in federation.write(file, 2, privacy=PLAIN).clients
    ]
    bootstraps[0]["bootstrap_qualifier"] = "clinic"
    changes: dict[str, Any] = {
        "server": {"names": {"role_path": "/org/", "role_prefix": "org-"}},
        "silo_0": bootstraps[0],
        "silo_1": DIRECT | bootstraps[1],
        "silo_2": WITH_PACKAGE,
    }
    chosen = federation.write(file, 3, privacy=PLAIN, **changes)
    synthesise(file, accounts_folder / "three")
    return with_package(Journey(accounts, chosen, accounts_folder / "three"), file, operator_key)


@pytest.fixture(scope="session")
def walk(
    accounts_folder: Path, accounts: Rehearsed, operator_key: Path, account_silos: Silos
) -> Iterator[Walk]:
    """Return a federation of three in accounts of its own, deployed as docs/deploy.md says it.

    Updates leave in sums only. The third client is deployed from its package. All is destroyed in the end.
    """
    chosen = federation.write(accounts_folder / "sums.yaml", 3, **SUMS_ACCOUNTS)
    synthesise(accounts_folder / "sums.yaml", accounts_folder / "sums")
    journey = Journey(accounts, chosen, accounts_folder / "sums")
    with_package(journey, accounts_folder / "sums.yaml", operator_key)
    walk = Walk(journey, accounts_folder / "walk", account_silos)
    walk.deploy()
    yield walk
    walk.destroy()


@pytest.fixture(scope="session")
def summed(walk: Walk) -> Journey:
    """Return that federation, for whatever else is asked of it."""
    return walk.journey


@pytest.fixture(scope="session")
def first_run(walk: Walk) -> FirstRun:
    """Return what its first run left, which a person started on the server's notebook."""
    return walk.first_run()


@pytest.fixture(scope="session")
def journey(three: Journey, accounts_folder: Path, account_silos: Silos) -> Journey:
    """Return the same federation while it has its first two clients only: deployed, with data."""
    two = three.federation.model_copy(update={"clients": three.federation.clients[:2]})
    (accounts_folder / "two.yaml").write_text(
        (accounts_folder / "three.yaml").read_text().partition("- name: silo-2")[0]
    )
    synthesise(accounts_folder / "two.yaml", accounts_folder / "two")
    small = Journey(three.aws, two, accounts_folder / "two")
    small.deploy()
    at_once(lambda client: small.upload(client.name, account_silos.file(client.name)), two.clients)
    server = small.deployment.server
    bucket = small.bucket(server, "StorageTestData")
    small.deployment.owner(server, "s3").upload_file(str(account_silos.test_file), bucket, "test/test.csv")
    return small
