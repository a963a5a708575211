"""A rehearsal's side of the emulated AWS: start it, get credentials, make clients, run cdk."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from cdk_app.node import node
from cdk_app.project import CDK, PACKAGES
from rehearsal.processes import Processes, run_logged
from runtime.contract import ExitCode, FedstackError

START_SECONDS: Final = 60.0
_HOMES: Final = {"aws": "eu-west-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""A Region of each partition, to take a role in."""
# Nobody's keys and nobody's settings reach the emulated AWS, and nothing of it reaches a real one.
CLEARED: Final = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_DEFAULT_REGION")


class Rehearsed:
    """The emulated AWS as its users see it.

    Parameters
    ----------
    endpoint
        Its URL.
    work
        A folder for the command line's own files.
    """

    def __init__(self, endpoint: str, work: Path) -> None:
        self.endpoint, self.work = endpoint, work
        self._administrators: dict[str, dict[str, str]] = {}
        self._session: boto3.Session | None = None
        self._making = threading.Lock()

    @classmethod
    def start(cls, processes: Processes, work: Path) -> Rehearsed:
        """Start the emulated AWS as a process and wait until it answers."""
        process = processes.python("rehearsal.aws", "--work", str(work), log=_made(work) / "aws.log")
        deadline = time.monotonic() + START_SECONDS
        while not (work / "endpoint").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise FedstackError(
                    ExitCode.ENGINE, "The emulated AWS did not start.", f"See {work / 'aws.log'}."
                )
            time.sleep(0.05)
        return cls((work / "endpoint").read_text(), work)

    def ask(self, request: str, **given: Any) -> Any:
        """Make one of the rehearsal's own requests."""
        url = f"{self.endpoint}/rehearsal/{request}"
        question = urllib.request.Request(url, json.dumps(given).encode(), method="POST")  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(question, timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise FedstackError(
                ExitCode.ENGINE,
                f"The emulated AWS refused {request}: {json.load(error)['error']}.",
                "See aws.log.",
            ) from error

    def administrator(self, account: str) -> dict[str, str]:
        """Return the keys of an account's administrator."""
        if account not in self._administrators:
            self._administrators[account] = self.ask("administrator", account=account)
        return self._administrators[account]

    def notebook(self, account: str, region: str, name: str) -> dict[str, str]:
        """Return the temporary credentials that a notebook instance has on AWS."""
        found: dict[str, str] = self.ask("notebook", account=account, region=region, name=name)
        return found

    def assume(self, keys: Mapping[str, str], role: str, **more: str) -> dict[str, str]:
        """Return the credentials of a role that somebody takes."""
        sts = self.client(keys, _HOMES[role.split(":")[1]], "sts")
        made = sts.assume_role(RoleArn=role, RoleSessionName="rehearsal", **more)["Credentials"]
        return {
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }

    def client(self, keys: Mapping[str, str], region: str, service: str) -> Any:
        """Return somebody's client of a service.

        All are of one session, which reads AWS's description of a service once: that costs more than what is
        asked.
        """
        config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
        with self._making:  # sessions are not to be shared by threads
            self._session = self._session or boto3.Session()
            return self._session.client(
                service, region_name=region, endpoint_url=self.endpoint, config=config, **keys
            )

    def environment(self, keys: Mapping[str, str], region: str) -> dict[str, str]:
        """Return the environment of a process that works with these credentials."""
        return {
            **{name.upper(): value for name, value in keys.items()},
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL": self.endpoint,
            # The cdk command line puts this one into template URLs.
            "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": self.endpoint.replace("127.0.0.1", "localhost"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
        }

    def terminal(self, account: str, region: str) -> dict[str, str]:
        """Return the environment of a terminal of an account's owner, with the pinned cdk command line."""
        own = {name: value for name, value in os.environ.items() if name not in CLEARED}
        return {
            **own,
            **self.environment(self.administrator(account), region),
            "PATH": f"{_fedstack(self.work)}:{CDK.parent}:{node()}:{own['PATH']}",
            "CDK_HOME": str(_made(self.work / "cdk-home" / account)),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NODE_COMPILE_CACHE": str(self.work / "node-cache"),  # a third of what a cdk command costs
            "NODE_NO_WARNINGS": "1",
            "CI": "1",
        }

    def cdk(self, account: str, region: str, *arguments: str, timeout: float = 600) -> None:
        """Run the pinned cdk command line with one account's own credentials."""
        shown = f"`cdk {arguments[0]}` in account {account}"
        command = ["cdk", *arguments, "--no-color"]
        run_logged(command, self.terminal(account, region), timeout, self.work / "cdk.log", shown)


def _fedstack(work: Path) -> Path:
    """Return a folder with the command `fedstack`, whichever way it is installed here."""
    script = _made(work / "bin") / "fedstack"
    if not script.exists():
        fresh = script.with_suffix(f".{os.getpid()}")
        python = shlex.quote(sys.executable)
        fresh.write_text(
            f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(PACKAGES))} exec {python} -P -m fedstack "$@"\n'
        )
        fresh.chmod(0o755)
        fresh.replace(script)
    return script.parent


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
