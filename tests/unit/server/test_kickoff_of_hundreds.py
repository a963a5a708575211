"""Hundreds of clients are started, looked at and stopped at a bounded pace, with an AWS that throttles."""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError

from runtime.parallel import AT_ONCE, at_once
from runtime.server.jobs import kickoff, started, throttling
from runtime.server.jobs.assumed_role import KickoffRole, OwnAccount
from runtime.server.jobs.kickoff import Kickoff
from runtime.server.jobs.launchers import BrokerLaunch, Launch
from runtime.server.jobs.throttling import CODES, CONFIG, TRIES, is_throttled, patiently
from runtime.server.roster import Client
from runtime.tabular.server.settings import RunSettings, parse

CLIENTS = 300
INVITATION = {
    "run-id": "run-1",
    "server-address": "10.0.0.5:9092",
    "server-fingerprint": "sha256:" + "0a" * 32,
}


def refusal(code: str, message: str = "no", status: int = 400) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "StartExecution")


class Aws:
    """Step Functions of all accounts: it lets through so many calls of each kind at a time, and counts."""

    def __init__(self, refuse: Callable[[str, str, int], str | None] = lambda *_: None) -> None:
        self.running: set[str] = set()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.most = self._here = 0
        self.started = threading.Semaphore(0)
        self._refuse, self._lock = refuse, threading.Lock()

    def call(self, what: str, name: str) -> None:
        with self._lock:
            self._here += 1
            self.most = max(self.most, self._here)
            self.calls[what, name] += 1
            code = self._refuse(what, name, self.calls[what, name])
        time.sleep(0.0005)  # so that calls overlap
        with self._lock:
            self._here -= 1
            if code is None and what != "look":
                (self.running.add if what == "start" else self.running.discard)(name)
        if code is not None:
            raise refusal(code)
        if what == "start":
            self.started.release()


class Steps:
    """One account's client of it."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws, self._name = aws, name

    def client(self, _: str) -> Steps:
        return self

    def start_execution(self, **_: Any) -> dict[str, str]:
        self._aws.call("start", self._name)
        return {"executionArn": f"arn:{self._name}"}

    def describe_execution(self, **_: Any) -> dict[str, str]:
        self._aws.call("look", self._name)
        return {"status": "RUNNING"}

    def stop_execution(self, **_: Any) -> None:
        self._aws.call("stop", self._name)


class Run:
    """A run's kickoff with so many clients, and what it says."""

    def __init__(self, folder: Path, aws: Aws) -> None:
        roster = [
            {
                "name": f"client-{n:03}",
                "mailbox": f"s3://m{n}/cms",
                "kickoff": "broker",
                "region": "eu-west-1",
            }
            | {"external_id": "cms/x", "kickoff_role_arn": f"arn:aws:iam::{n:012}:role/k"}
            | {"state_machine_arn": f"arn:aws:states:eu-west-1:{n:012}:stateMachine:b"}
            for n in range(CLIENTS)
        ]
        self.all_asked = threading.Event()
        given = {"name": "cms", "clients": roster, "test_data": folder, "out": folder, "run_id": "run-1"}
        self.settings: RunSettings = parse(given | {"updates": "plain"})
        self.names = [client.name for client in self.settings.clients]
        self.told: dict[str, list[Any]] = {}
        roles = cast("dict[str, KickoffRole]", {name: Steps(aws, name) for name in self.names})
        self.kickoff = Kickoff(self.settings, roles, self._note, self._remove)

    def _note(self, kind: str, **details: Any) -> None:
        self.told.setdefault(kind, []).append(details.get("client") or details["clients"])
        if kind == "not_all_started":
            self.all_asked.set()

    def _remove(self, client: str, kind: str, reason: str) -> None:
        self.told.setdefault(kind, []).append((client, reason))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kickoff, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(throttling, "FIRST_SECONDS", 0.001)
    yield
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("kickoff", "ThreadPool"))
    ]


def start_all(run: Run, aws: Aws, enough: int, told: threading.Event | None = None) -> None:
    """Stop the run, as Ctrl-C does, when so many have started, and something was told."""
    with run.kickoff.jobs(INVITATION):
        for _ in range(enough):
            assert aws.started.acquire(timeout=60)
        assert told is None or told.wait(60)
        raise KeyboardInterrupt


def test_throttled_or_not_all_are_started_and_stopped_with_few_calls_at_a_time(tmp_path: Path) -> None:
    throttles = sorted(CODES)

    def refuse(what: str, name: str, call: int) -> str | None:
        few = int(name[-3:]) % 4  # some are throttled once or more, however they are asked
        return throttles[call % len(throttles)] if call <= few else None

    aws = Aws(refuse)
    run = Run(tmp_path, aws)
    with pytest.raises(KeyboardInterrupt):
        start_all(run, aws, CLIENTS)
    assert 2 <= aws.most <= AT_ONCE
    assert sorted(run.told["started"]) == run.names
    assert sorted(run.told["stopped"]) == run.names
    assert aws.running == set()
    assert not run.told.keys() & {"not_started", "not_all_started", "not_watched", "not_stopped"}
    assert sum(aws.calls[("start", name)] for name in run.names) > CLIENTS


def test_a_stop_half_way_stops_all_that_were_started_and_starts_no_more(tmp_path: Path) -> None:
    aws = Aws()
    run = Run(tmp_path, aws)
    with pytest.raises(KeyboardInterrupt):
        start_all(run, aws, CLIENTS // 2)
    begun = run.told["started"]
    assert CLIENTS // 2 <= len(begun) < CLIENTS
    assert sorted(run.told["stopped"]) == sorted(begun)
    assert aws.running == set()
    assert {name for what, name in aws.calls if what == "start"} == set(begun)


def test_a_stop_does_not_wait_for_a_client_that_is_throttled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "FIRST_SECONDS", 3600.0)
    monkeypatch.setattr(throttling, "LONGEST_SECONDS", 3600.0)
    aws = Aws(
        lambda what, name, _: "ThrottlingException" if (what, name) == ("start", "client-007") else None
    )
    run = Run(tmp_path, aws)
    with pytest.raises(KeyboardInterrupt):
        start_all(run, aws, CLIENTS - 1)
    assert aws.running == set()
    assert [name for name, _ in run.told["not_started"]] == ["client-007"]


def test_those_that_fail_are_told_at_once_by_name_and_the_others_are_watched_and_stopped(
    tmp_path: Path,
) -> None:
    bad = {"client-003": "AccessDenied", "client-150": "ValidationException", "client-299": "AccessDenied"}
    aws = Aws(lambda what, name, _: bad.get(name) if what in ("start", "stop") else None)
    run = Run(tmp_path, aws)
    steps = run.kickoff._launches["client-042"]

    def broken(_: Any) -> str:
        raise ValueError("not JSON")  # what a client's account publishes is not ours

    cast("Any", steps).start = broken
    with pytest.raises(KeyboardInterrupt):
        start_all(run, aws, CLIENTS - 4, told=run.all_asked)
    names = sorted([*bad, "client-042"])
    assert sorted(name for name, _ in run.told["not_started"]) == names
    assert run.told["not_all_started"] == [names]
    assert all(aws.calls["start", name] == 1 for name in bad), "a refusal is not asked again"
    assert len(run.told["stopped"]) == CLIENTS - 4
    assert aws.running == set()


def test_the_jobs_of_a_server_that_was_killed_are_looked_at_and_stopped_as_well(tmp_path: Path) -> None:
    aws = Aws(lambda _, __, call: "TooManyRequestsException" if call == 1 else None)
    run = Run(tmp_path, aws)
    jobs: dict[str, Launch] = {}
    for client in run.settings.clients:
        role = cast("KickoffRole", Steps(aws, client.name))
        jobs[client.name] = launch = BrokerLaunch(client, role, run.settings)
        launch.adopt(f"arn:{client.name}")
        aws.running.add(client.name)
    assert started.states(jobs) == dict.fromkeys(run.names, "running")
    assert started.stop(jobs, "fedstack stop") == dict.fromkeys(run.names, "stopped")
    assert aws.running == set()
    assert 2 <= aws.most <= AT_ONCE


def test_a_job_whose_account_answers_nonsense_keeps_no_other_from_being_stopped(tmp_path: Path) -> None:
    aws = Aws()
    run = Run(tmp_path, aws)
    jobs: dict[str, Launch] = {}
    for client in run.settings.clients:
        launch = BrokerLaunch(client, cast("KickoffRole", Steps(aws, client.name)), run.settings)
        launch.adopt(f"arn:{client.name}")
        aws.running.add(client.name)
        jobs[client.name] = launch

    def broken() -> None:
        raise KeyError("status")

    cast("Any", jobs["client-003"]).outcome = broken
    cast("Any", jobs["client-005"]).stop = lambda _: broken()
    assert "cannot be looked at" in started.states(jobs)["client-003"]
    told = started.stop(jobs, "fedstack stop")
    assert "cannot be looked at" in told["client-003"]
    assert "not stopped" in told["client-005"]
    assert aws.running == {"client-003", "client-005"}


@pytest.mark.parametrize(
    ("error", "again"),
    [
        *((refusal(code), True) for code in sorted(CODES)),
        (refusal("Whatever", status=429), True),
        (refusal("Whatever", "Rate exceeded"), True),
        (refusal("AccessDenied"), False),
        (refusal("ExpiredTokenException"), False),
        (refusal("ResourceLimitExceeded", "The account-level service limit"), False),
    ],
    ids=str,
)
def test_only_what_asking_less_often_cures_is_asked_again(error: ClientError, again: bool) -> None:
    assert is_throttled(error) is again
    calls = []

    def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(ClientError) as raised:
        patiently(call)
    assert raised.value is error
    assert len(calls) == (TRIES if again else 1)


def test_each_wait_is_random_and_up_to_twice_as_long_as_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throttling, "FIRST_SECONDS", 1.0)
    asked: list[tuple[float, float]] = []
    waits: list[float] = []

    class Over(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    draw = random.Random(1).uniform

    def uniform(least: float, most: float) -> float:
        asked.append((least, most))
        return draw(least, most)

    monkeypatch.setattr(random, "uniform", uniform)

    def call() -> None:
        raise refusal("ThrottlingException")

    with pytest.raises(ClientError):
        patiently(call, Over())
    assert asked == [(0, longest) for longest in (1, 2, 4, 8, 16, 20, 20, 20, 20)]
    assert len(set(waits)) == TRIES - 1


def test_hundreds_of_roles_are_taken_with_one_session_and_as_many_connections_as_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[str, dict[str, Any]]] = []

    class Session:
        def __init__(self) -> None:
            made.append(("session", {}))

        def client(self, service: str, **said: Any) -> Any:
            made.append((service, said))
            return self

        def assume_role(self, **said: Any) -> dict[str, Any]:
            keys = dict.fromkeys(("AccessKeyId", "SecretAccessKey", "SessionToken"), said["RoleArn"])
            return {"Credentials": keys | {"Expiration": dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)}}

    monkeypatch.setattr(boto3, "Session", Session)
    own = OwnAccount()
    entry = {"kickoff": "broker", "region": "eu-west-1", "external_id": "x", "state_machine_arn": "arn:s"}
    clients = [
        Client.model_validate({**entry, "name": f"c{n}", "kickoff_role_arn": f"arn:{n}"})
        for n in range(CLIENTS)
    ]
    roles = [KickoffRole(client, "run-1", own) for client in clients]
    list(at_once(lambda role: role.client("stepfunctions"), roles))
    counted = Counter(service for service, _ in made)
    assert counted == {"session": 1, "sts": 1, "stepfunctions": CLIENTS}
    keys = {said["aws_access_key_id"] for service, said in made if service == "stepfunctions"}
    assert keys == {client.kickoff_role_arn for client in clients}
    assert CONFIG.max_pool_connections == AT_ONCE
    assert {json.dumps(said["config"].retries) for service, said in made if service != "session"} == {
        json.dumps(CONFIG.retries)
    }
