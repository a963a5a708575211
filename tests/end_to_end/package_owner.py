"""A client's owner who has neither CDK nor Python: what they do is what their package's README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cdk_app.bundles import BUNDLES
from cdk_app.config.models import ClientAccount, Federation
from cdk_app.naming import ClientNames, ServerNames, signing_key_parameter
from cdk_app.project import PACKAGES
from rehearsal.aws.client import CLEARED, Rehearsed
from rehearsal.deployment import Deployment
from rehearsal.journey import Journey

BLOCK = re.compile(r"^#+ (?P<heading>[^\n]*)$|^```sh\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)


class Readme:
    """The commands of a package's README, by the heading that they stand under."""

    def __init__(self, text: str) -> None:
        self.commands: dict[str, list[str]] = {}
        heading = ""
        for found in BLOCK.finditer(text):
            heading = found["heading"] or heading
            if found["commands"]:
                self.commands.setdefault(heading, []).append(found["commands"])

    @property
    def all(self) -> list[str]:
        """All commands, in their order."""
        return [commands for under in self.commands.values() for commands in under]


class PackageOwner:
    """The owner of one client, with a package and a shell.

    Parameters
    ----------
    folder
        Where the package and what the owner writes beside it go.
    operator_key
        The operator's SSH key: its private half signs, its public half is what the owner was told.
    """

    def __init__(self, aws: Rehearsed, names: ClientNames, folder: Path, operator_key: Path) -> None:
        self.aws, self.names, self.folder, self.operator_key = aws, names, folder, operator_key
        self.package = folder / f"{names.federation}-{names.client}"
        self.parameters = self.package.with_name(f"{self.package.name}.parameters.json")
        self.executed: list[str] = []

    def receive(self, federation_file: Path, bundles: Path = BUNDLES) -> None:
        """Get a package, which the operator makes from the same file as the server's own stack."""
        if self.package.exists():
            shutil.rmtree(self.package)
        command = [sys.executable, "-m", "cdk_app.handoff", self.names.client, "--out", str(self.folder)]
        more = ["--federation", str(federation_file), "--bundles", str(bundles)]
        subprocess.run([*command, *more, "--sign", str(self.operator_key)], cwd=PACKAGES, check=True)
        shutil.rmtree(self.package)
        archive = self.package.with_suffix(".tar")
        subprocess.run(["tar", "-xf", archive.name], cwd=self.folder, check=True)
        archive.unlink()

    @property
    def readme(self) -> Readme:
        return Readme((self.package / "README.md").read_text())

    def follow(self, heading: str, **variables: str) -> str:
        """Run every command under a heading of the README, as it stands there; return what it prints."""
        printed = ""
        for commands in self.readme.commands[heading]:
            printed += self.shell(commands, **variables)
            self.executed.append(commands)
        return printed

    def shell(self, commands: str, **variables: str) -> str:
        """Run commands in a shell with the account administrator's credentials, in the package's folder."""
        names = self.names
        keys = self.aws.administrator(names.account)
        environment = {name: value for name, value in os.environ.items() if name not in CLEARED}
        environment |= self.aws.environment(keys, names.region) | variables
        environment["PATH"] = f"{aws_command().parent}:{environment['PATH']}"
        environment["OPERATOR_KEY"] = self.operator_key.with_suffix(".pub").read_text()
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", commands],
            cwd=self.package,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def fill_in(self, values: Mapping[str, str]) -> None:
        """Write values into the owner's copy of the parameters; what is there already stays."""
        lines = dict(line.split("=", 1) for line in json.loads(self.parameters.read_text()))
        assert set(values) <= set(lines)
        self.parameters.write_text(
            json.dumps([f"{key}={value}" for key, value in {**lines, **values}.items()])
        )


class PackageDeployment(Deployment):
    """A federation one of whose clients is deployed from its package; its account has no CDK bootstrap."""

    def __init__(self, aws: Rehearsed, federation: Federation, assembly: Path, owner: PackageOwner) -> None:
        super().__init__(aws, federation, assembly)
        self.owner_of_package = owner

    def _has_package(self, names: ClientNames | ServerNames) -> bool:
        return names == self.owner_of_package.names

    def bootstrap_account(self, account: str, region: str) -> None:
        if account != self.owner_of_package.names.account:
            super().bootstrap_account(account, region)

    def deploy_client(self, client: ClientAccount, *more: str) -> None:
        names, owner = self.clients[client.name], self.owner_of_package
        if not self._has_package(names):
            return super().deploy_client(client, *more)
        owner.follow("Check what you got")
        assert owner.follow("Deploy").splitlines()[0] == names.account
        if not owner.parameters.exists():
            owner.follow("What you fill in")
        owner.fill_in({"ServerVpcId": self.output(self.server, "VpcId")})
        owner.follow("The stack")
        self.take_part(names)
        return None

    def take_part(self, names: ClientNames) -> None:
        if not self._has_package(names):
            super().take_part(names)
        elif not self.owner(names, "ssm").describe_parameters()["Parameters"]:
            self.owner_of_package.follow("On for the first time")

    def tell_keys(self, client: ClientAccount, keys: Mapping[str, str]) -> None:
        names, owner = self.clients[client.name], self.owner_of_package
        if not self._has_package(names):
            return super().tell_keys(client, keys)
        assert owner.follow("Exchange keys with the others").strip() == keys[client.name]
        owner.fill_in({signing_key_parameter(member): keys[member] for member in client.privacy.cohort})
        owner.follow("The stack")
        return None

    def destroy_client(self, names: ClientNames) -> None:
        if self._has_package(names):
            self.owner_of_package.follow("Remove")
        else:
            super().destroy_client(names)


def with_package(journey: Journey, federation_file: Path, operator_key: Path) -> Journey:
    """Let the owner of a journey's last client deploy it from a package, made of the same federation file."""
    deployment = journey.deployment
    names = deployment.clients[journey.federation.clients[-1].name]
    folder = deployment.assembly.with_name(f"{deployment.assembly.name}-owner")
    owner = PackageOwner(journey.aws, names, folder, operator_key)
    owner.receive(federation_file)
    journey.deployment = PackageDeployment(journey.aws, journey.federation, deployment.assembly, owner)
    return journey


def owner_of(journey: Journey) -> PackageOwner:
    """Return the owner of the client that a journey deploys from its package."""
    assert isinstance(journey.deployment, PackageDeployment)
    return journey.deployment.owner_of_package


def aws_command() -> Path:
    """Return the AWS command line: the one that the set-up installed, else the machine's own."""
    own = Path(sys.executable).with_name("aws")
    found = str(own) if own.exists() else shutil.which("aws")
    assert found, "there is no aws command: `make setup` installs one"
    return Path(found)
