"""The server in a client's account: one role, taken again before its hour is over."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any, Final

import boto3
from botocore.config import Config

from runtime.server.roster import Client

SESSION_SECONDS: Final = 3600
"""The most that a role may hold another one for (role chaining)."""
MARGIN: Final = dt.timedelta(minutes=10)
_CONFIG: Final = Config(
    connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 3}, tcp_keepalive=True
)


class KickoffRole:
    """The role that a client's account lets this server take, and clients of AWS with it.

    Parameters
    ----------
    client
        Whose account; its role, external id and Region.
    session_name
        What the client's CloudTrail shows: the run's id.
    """

    def __init__(self, client: Client, session_name: str) -> None:
        self._client, self._session_name = client, session_name
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session: boto3.Session | None = None
        self._expires = dt.datetime.min.replace(tzinfo=dt.UTC)

    def client(self, service: str) -> Any:
        """Return a client of a service in the client's account and Region."""
        with self._lock:
            if self._session is None or dt.datetime.now(dt.UTC) + MARGIN > self._expires:
                self._session, self._clients = self._take(), {}
            if service not in self._clients:
                # Another Region's Step Functions is reached through the client's own endpoint.
                endpoint = self._client.endpoint_url if service == "stepfunctions" else None
                self._clients[service] = self._session.client(service, endpoint_url=endpoint, config=_CONFIG)
            return self._clients[service]

    def _take(self) -> boto3.Session:
        """Take the role, with the external id that the client's account asks for."""
        session = boto3.Session()
        answer = session.client("sts", config=_CONFIG).assume_role(
            RoleArn=self._client.kickoff_role_arn,
            RoleSessionName=self._session_name,
            ExternalId=self._client.external_id,
            DurationSeconds=SESSION_SECONDS,
        )["Credentials"]
        self._expires = answer["Expiration"]
        return boto3.Session(
            aws_access_key_id=answer["AccessKeyId"],
            aws_secret_access_key=answer["SecretAccessKey"],
            aws_session_token=answer["SessionToken"],
            region_name=self._client.region,
        )
