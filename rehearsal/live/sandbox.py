"""Two sandbox accounts behind two profiles of the AWS command line, with what a deployment asks of an AWS."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cdk_app.node import node
from cdk_app.project import CDK
from rehearsal.processes import run_logged
from runtime.contract import ExitCode, FedstackError

_PATIENT: Final = Config(retries={"mode": "standard", "max_attempts": 5})


def account_of(profile: str, region: str) -> str:
    """Return whose credentials a profile has."""
    try:
        identity = boto3.Session(profile_name=profile, region_name=region).client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The profile {profile!r} cannot be used: {error}.",
            "Name two profiles of ~/.aws/config, of administrators of two sandbox accounts; log in again "
            "where they have expired.",
        ) from error
    return str(identity["Account"])


class Sandbox:
    """What `rehearsal.deployment.Deployment` asks of an AWS, of the real one.

    Parameters
    ----------
    profiles
        The profile of each account's administrator.
    work
        A folder for logs.
    """

    def __init__(self, profiles: Mapping[str, str], work: Path) -> None:
        self._profiles, self.work = profiles, work

    def administrator(self, account: str) -> dict[str, str]:
        """Return what makes a session of an account's administrator."""
        return {"profile_name": self._profiles[account]}

    def client(self, keys: Mapping[str, str], region: str, service: str) -> Any:
        """Return a client of a service."""
        return boto3.Session(region_name=region, **keys).client(service, config=_PATIENT)

    def notebook(self, account: str, region: str, name: str) -> dict[str, str]:
        """Refuse: only SageMaker, for the notebook itself, can take its role."""
        raise FedstackError(
            ExitCode.CONFIG,
            f"{name} of {account} in {region} has its role to itself.",
            "Work on the notebook.",
        )

    def environment(self, account: str, region: str) -> dict[str, str]:
        """Return the environment of a command that works with an account's profile."""
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        inherited = {name: value for name, value in os.environ.items() if name not in keys}
        place = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}  # boto3 reads the second alone
        return {**inherited, "AWS_PROFILE": self._profiles[account], **place}

    def cdk(self, account: str, region: str, *arguments: str, timeout: float = 3600) -> None:
        """Run the pinned cdk command line with an account's profile."""
        environment = self.environment(account, region)
        environment |= {
            "PATH": f"{node()}:{environment['PATH']}",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CI": "1",
        }
        self._run([str(CDK), *arguments, "--no-color"], environment, timeout)

    def python(self, account: str, region: str, module: str, *arguments: str) -> None:
        """Run one of the project's own commands with an account's profile."""
        command = [sys.executable, "-m", module, *arguments]
        self._run(command, self.environment(account, region), 600)

    def _run(self, command: list[str], environment: Mapping[str, str], timeout: float) -> None:
        shown = f"`{' '.join(command[:3])} ...`"
        run_logged(command, environment, timeout, self.work / "commands.log", shown)
