"""The server in a client's account: one role, taken again before its hour is over."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any, Final

import boto3

from runtime.server.jobs.throttling import CONFIG
from runtime.server.roster import Client

SESSION_SECONDS: Final = 3600
"""The most that a role may hold another one for (role chaining)."""
MARGIN: Final = dt.timedelta(minutes=10)


class OwnAccount:
    """The server's own credentials, and one session for however many roles are taken with them.

    A session reads AWS's descriptions of its services once, for 14 MB and 0.7 s; a client of one, with other
    credentials, takes 0.4 MB and 0.02 s more.

    Parameters
    ----------
    sts
        A client of STS where there is one; else it is made, of the session's default Region.
    """

    def __init__(self, session: boto3.Session | None = None, sts: Any = None) -> None:
        self._lock = threading.Lock()
        self._session, self._sts = session, sts

    def client(self, service: str, **said: Any) -> Any:
        """Return a client of a service, with these credentials or with those that are said."""
        with self._lock:  # sessions are not to be shared by threads
            return self._client(service, **said)

    def take(self, client: Client, session_name: str, **said: Any) -> Any:
        """Take a client's role; return what STS answers."""
        with self._lock:
            self._sts = sts = self._sts or self._client("sts")
        return sts.assume_role(RoleArn=client.kickoff_role_arn, RoleSessionName=session_name, **said)

    def _client(self, service: str, **said: Any) -> Any:
        self._session = self._session or boto3.Session()
        return self._session.client(service, config=CONFIG, **said)


class KickoffRole:
    """The role that a client's account lets this server take, and clients of AWS with it.

    Parameters
    ----------
    client
        Whose account; its role, external id and Region.
    session_name
        What the client's CloudTrail shows: the run's id.
    own
        The account that takes it, one for all roles.
    """

    def __init__(self, client: Client, session_name: str, own: OwnAccount) -> None:
        self._client, self._session_name, self._own = client, session_name, own
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._credentials: dict[str, str] = {}
        self._expires = dt.datetime.min.replace(tzinfo=dt.UTC)

    def client(self, service: str) -> Any:
        """Return a client of a service in the client's account and Region."""
        with self._lock:
            if dt.datetime.now(dt.UTC) + MARGIN > self._expires:
                self._take()
            if service not in self._clients:
                # Another Region's Step Functions is reached through the client's own endpoint.
                endpoint = self._client.endpoint_url if service == "stepfunctions" else None
                self._clients[service] = self._own.client(
                    service, region_name=self._client.region, endpoint_url=endpoint, **self._credentials
                )
            return self._clients[service]

    def _take(self) -> None:
        """Take the role, with the external id that the client's account asks for."""
        taken = self._own.take(
            self._client,
            self._session_name,
            ExternalId=self._client.external_id,
            DurationSeconds=SESSION_SECONDS,
        )["Credentials"]
        self._expires, self._clients = taken["Expiration"], {}
        self._credentials = {
            "aws_access_key_id": taken["AccessKeyId"],
            "aws_secret_access_key": taken["SecretAccessKey"],
            "aws_session_token": taken["SessionToken"],
        }
