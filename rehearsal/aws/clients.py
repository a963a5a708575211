"""Clients with which AWS's own services work inside an account."""

from __future__ import annotations

import threading
from typing import Any, Final

import boto3
from botocore.config import Config

from rehearsal.aws.principals import Credentials

_CONFIG: Final = Config(
    parameter_validation=False,
    retries={"max_attempts": 0},
    s3={"addressing_style": "path"},
    connect_timeout=10,
    read_timeout=300,
)
_making = threading.Lock()


class Clients:
    """boto3 clients of one caller in one Region; each is made once."""

    def __init__(
        self, endpoint: str, region: str, credentials: Credentials, deployer: Credentials | None = None
    ) -> None:
        self.endpoint, self.region, self.credentials, self._deployer = endpoint, region, credentials, deployer
        self._made: dict[str, Any] = {}

    def get(self, service: str) -> Any:
        """Return the client of a service."""
        with _making:  # boto3's default session is not safe to share between threads
            if service not in self._made:
                self._made[service] = boto3.client(
                    service,
                    region_name=self.region,
                    endpoint_url=self.endpoint,
                    aws_access_key_id=self.credentials.access_key,
                    aws_secret_access_key=self.credentials.secret_key,
                    aws_session_token=self.credentials.token,
                    config=_CONFIG,
                )
            return self._made[service]

    def deployed_by(self, deployer: Credentials) -> Clients:
        """Return the same clients, of which those of other roles are taken with these rights."""
        clients = Clients(self.endpoint, self.region, self.credentials, deployer)
        clients._made = self._made
        return clients

    def taking(self, role_arn: str, region: str) -> Clients:
        """Return clients of a role, perhaps another account's, that a stack's deployer takes."""
        assert self._deployer is not None  # noqa: S101 - only a stack's clients take roles
        sts = Clients(self.endpoint, region, self._deployer).get("sts")
        made = sts.assume_role(RoleArn=role_arn, RoleSessionName="cloudformation")["Credentials"]
        keys = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
        return Clients(self.endpoint, region, keys)
