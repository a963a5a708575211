"""Clients of the emulated AWS: each of somebody's own, all of one session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from rehearsal.aws.client import Rehearsed


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Rehearsed]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Rehearsed(f"http://{host}:{port}", tmp_path)
    server.stop()


def keys(name: str) -> dict[str, str]:
    return {"aws_access_key_id": name, "aws_secret_access_key": f"secret of {name}"}


def test_each_client_is_of_who_asked_and_where_and_nobody_else_s(
    aws: Rehearsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "somebody else's")
    for name, region in (("north", "eu-west-1"), ("south", "eu-central-1"), ("north", "eu-west-1")):
        client = aws.client(keys(name), region, "sqs")
        credentials = client._request_signer._credentials
        assert (credentials.access_key, credentials.secret_key) == (name, f"secret of {name}")
        assert credentials.token is None
        assert client.meta.region_name == region
        assert client.create_queue(QueueName=f"{name}-{region}")["QueueUrl"].endswith(f"{name}-{region}")
    token = aws.client({**keys("role"), "aws_session_token": "its own"}, "eu-west-1", "sqs")
    assert token._request_signer._credentials.token == "its own"


def test_descriptions_of_services_are_read_once_for_all_clients(
    aws: Rehearsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    session = boto3.Session

    def counted(*given: Any, **said: Any) -> boto3.Session:
        made.append(said)
        return session(*given, **said)

    monkeypatch.setattr(boto3, "Session", counted)
    for name in ("north", "south", "west"):
        aws.client(keys(name), "eu-west-1", "sts")
    assert made == [{}]
