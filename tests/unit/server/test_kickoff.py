"""How clients' jobs are started, watched and stopped, with AWS's answers made up."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from runtime.contract import ATTEMPT_PATTERN, ATTEMPTS, JobOption
from runtime.link.client import GIVE_UP_SECONDS
from runtime.server.jobs import kickoff, launchers, throttling
from runtime.server.jobs.assumed_role import KickoffRole, OwnAccount
from runtime.server.jobs.kickoff import Kickoff
from runtime.server.jobs.launchers import DirectLaunch, Outcome, explained
from runtime.server.roster import Client
from runtime.tabular.server.settings import RunSettings, parse

INVITATION = {
    JobOption.RUN_ID.value: "run-1",
    JobOption.SERVER_ADDRESS.value: "10.0.0.5:9092",
    JobOption.SERVER_FINGERPRINT.value: "sha256:" + "0a" * 32,
}
BY = {"region": "eu-west-1", "external_id": "cms/x", "kickoff_role_arn": "arn:aws:iam::222222222222:role/k"}
BROKERED = BY | {"kickoff": "broker", "state_machine_arn": "arn:aws:states:eu-west-1:222222222222:s:b"}
DIRECT = BY | {"kickoff": "direct", "job_parameter": "/fedstack/cms/x/job"}
THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "StartExecution")
DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "StartExecution")


def settings(tmp_path: Path, **clients: dict[str, Any]) -> RunSettings:
    roster = [{"name": name, "mailbox": f"s3://{name}/cms", **said} for name, said in clients.items()]
    given = {"name": "cms", "clients": roster, "test_data": tmp_path, "out": tmp_path, "run_id": "run-1"}
    return parse(given | {"updates": "plain"})  # a roster of one or two


class Account:
    """The role in one client's account: what was asked of each service, and what it answers."""

    def __init__(self) -> None:
        self.services: dict[str, MagicMock] = {}

    def client(self, service: str) -> MagicMock:
        return self.services.setdefault(service, MagicMock(name=service))


class Run:
    """A run's kickoff, with all that it says."""

    def __init__(self, tmp_path: Path, **clients: dict[str, Any]) -> None:
        self.accounts = {name: Account() for name in clients}
        self.said: list[tuple[str, str, str]] = []
        self._changed = threading.Condition()
        roles = cast("dict[str, KickoffRole]", self.accounts)
        self.kickoff = Kickoff(settings(tmp_path, **clients), roles, self._note, self._remove)

    def _note(self, kind: str, **details: Any) -> None:
        self._say(kind, details.get("client", ""), str(details.get("reason", details.get("what", ""))))

    def _remove(self, client: str, kind: str, reason: str) -> None:
        self._say(kind, client, reason)

    def _say(self, *what: str) -> None:
        with self._changed:
            self.said.append(cast("tuple[str, str, str]", what))
            self._changed.notify_all()

    def heard(self, kind: str, client: str) -> str:
        """Wait until something was said of a client; return the rest of it."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(s[:2] == (kind, client) for s in self.said), timeout=20)
            return next(said[2] for said in self.said if said[:2] == (kind, client))


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kickoff, "POLL_SECONDS", 0.01)
    yield
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith(("kickoff", "ThreadPool"))
    ]


def brokered(account: Account, **ended: str) -> MagicMock:
    steps = account.client("stepfunctions")
    steps.start_execution.return_value = {"executionArn": "arn:execution"}
    steps.describe_execution.return_value = {"status": "RUNNING"} | ended
    return steps


def test_each_job_is_started_in_its_account_and_a_run_that_ends_well_stops_none(tmp_path: Path) -> None:
    run = Run(tmp_path, north=BROKERED, south=DIRECT, west={})
    steps = brokered(run.accounts["north"])
    run.accounts["south"].client("ssm").get_parameter.return_value = {
        "Parameter": {"Value": json.dumps({"RoleArn": "arn:role", "HyperParameters": {"mailbox": "s3://m"}})}
    }
    sagemaker = run.accounts["south"].client("sagemaker")
    sagemaker.create_training_job.return_value = {"TrainingJobArn": "arn:job"}
    sagemaker.describe_training_job.return_value = {"TrainingJobStatus": "InProgress"}
    with run.kickoff.jobs(INVITATION):
        assert run.heard("started", "north") == "arn:execution"
        assert run.heard("started", "south") == "arn:job"
    (asked,) = steps.start_execution.call_args_list
    assert asked.kwargs["name"] == "run-1"
    assert json.loads(asked.kwargs["input"]) == {
        "run_id": "run-1",
        "server_address": "10.0.0.5:9092",
        "server_fingerprint": INVITATION["server-fingerprint"],
    }
    (made,) = sagemaker.create_training_job.call_args_list
    assert made.kwargs["TrainingJobName"] == "cms-south--run-1"
    assert made.kwargs["HyperParameters"] == {"mailbox": "s3://m", **INVITATION}
    steps.stop_execution.assert_not_called()
    sagemaker.stop_training_job.assert_not_called()
    assert {client for _, client, _ in run.said} == {"north", "south"}  # west is started by somebody else


def test_a_client_whose_last_run_still_goes_on_is_asked_again_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "FIRST_WAIT_SECONDS", 0.02)
    run = Run(tmp_path, north=BROKERED)
    steps = brokered(run.accounts["north"])
    busy = {"status": "FAILED", "error": "Busy", "cause": "Another run of this client goes on"}
    steps.describe_execution.side_effect = [busy, busy, *[{"status": "RUNNING"}] * 10_000]
    with run.kickoff.jobs(INVITATION):
        assert run.heard("started_again", "north") == "Busy"
        while steps.start_execution.call_count < 3:
            time.sleep(0.01)
    first, *others = [call.kwargs for call in steps.start_execution.call_args_list]
    assert [again["name"] for again in others] == ["run-1-2", "run-1-3"]
    assert {again["input"] for again in others} == {first["input"]}
    for name in ("run-1-2", f"run-1-{ATTEMPTS}"):
        assert re.sub(ATTEMPT_PATTERN, "", name) == "run-1"


def test_a_throttled_start_takes_none_of_the_names_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "FIRST_WAIT_SECONDS", 0.0001)
    monkeypatch.setattr(throttling, "FIRST_SECONDS", 0.0001)
    run = Run(tmp_path, north=BROKERED)
    steps = brokered(run.accounts["north"], status="FAILED", error="Busy", cause="Another run goes on")
    throttled = [THROTTLED, THROTTLED, {"executionArn": "arn:execution"}]
    steps.start_execution.side_effect = throttled * ATTEMPTS
    with run.kickoff.jobs(INVITATION):
        run.heard("job_failed", "north")
    names = [call.kwargs["name"] for call in steps.start_execution.call_args_list]
    assert names[2::3] == ["run-1", *(f"run-1-{attempt}" for attempt in range(2, ATTEMPTS + 1))]


def test_a_client_that_stays_busy_is_given_up_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "FIRST_WAIT_SECONDS", 0.0001)
    run = Run(tmp_path, north=BROKERED)
    steps = brokered(run.accounts["north"], status="FAILED", error="Busy", cause="Another run goes on")
    with run.kickoff.jobs(INVITATION):
        assert "Busy: Another run goes on" in run.heard("job_failed", "north")
    assert steps.start_execution.call_count == ATTEMPTS


def test_all_attempts_together_outlast_a_killed_server_s_jobs() -> None:
    waits = [min(launchers.FIRST_WAIT_SECONDS * 2**attempt, 80) for attempt in range(ATTEMPTS - 1)]
    assert sum(waits) > GIVE_UP_SECONDS


def test_a_client_that_refuses_to_be_asked_again_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "FIRST_WAIT_SECONDS", 0.02)
    run = Run(tmp_path, north=BROKERED)
    steps = brokered(run.accounts["north"], status="FAILED", error="Busy", cause="")
    steps.start_execution.side_effect = [{"executionArn": "arn:execution"}, DENIED]
    with run.kickoff.jobs(INVITATION):
        assert "could not be started" in run.heard("not_started", "north")


def break_after(run: Run, heard: list[tuple[str, str]]) -> None:
    with run.kickoff.jobs(INVITATION):
        for kind, client in heard:
            run.heard(kind, client)
        raise RuntimeError("broken")


def test_a_run_that_breaks_stops_what_still_runs(tmp_path: Path) -> None:
    run = Run(tmp_path, north=BROKERED, south=BROKERED, east=BROKERED)
    north, south = (brokered(run.accounts[name]) for name in ("north", "south"))
    east = brokered(run.accounts["east"], status="SUCCEEDED")
    south.stop_execution.side_effect = DENIED
    heard = [("started", "north"), ("started", "south"), ("job_completed", "east")]
    with pytest.raises(RuntimeError, match="broken"):
        break_after(run, heard)
    assert north.stop_execution.call_args.kwargs == {
        "executionArn": "arn:execution",
        "cause": "The run ended: RuntimeError",
    }
    assert run.heard("stopped", "north")
    assert "AccessDenied" in run.heard("not_stopped", "south")
    east.stop_execution.assert_not_called()


def test_a_job_that_cannot_start_or_fails_costs_its_client_only(tmp_path: Path) -> None:
    run = Run(tmp_path, north=BROKERED, south=BROKERED, east=BROKERED)
    brokered(run.accounts["north"]).start_execution.side_effect = DENIED
    cause = 'ExecuteUserScriptError: ExitCode 11 ErrorMessage "" Command "python client.py"'
    brokered(run.accounts["south"], status="FAILED", error="JobFailed", cause=cause)
    brokered(run.accounts["east"])
    with run.kickoff.jobs(INVITATION):
        assert "AccessDenied" in run.heard("not_started", "north")
        reason = run.heard("job_failed", "south")
        assert "DATA (docs/troubleshooting.md)" in reason
        assert "python client.py" not in reason
        assert run.heard("started", "east")
    assert len([said for said in run.said if said[:2] == ("job_failed", "south")]) == 1


def test_a_look_that_fails_is_noted_and_made_again(tmp_path: Path) -> None:
    run = Run(tmp_path, north=BROKERED)
    steps = brokered(run.accounts["north"])
    steps.describe_execution.side_effect = [DENIED, {"status": "ABORTED"}]
    with run.kickoff.jobs(INVITATION):
        assert "AccessDenied" in run.heard("not_watched", "north")
        assert run.heard("job_failed", "north") == "its job failed: ABORTED"


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ({"TrainingJobStatus": "Stopping"}, None),
        ({"TrainingJobStatus": "Completed"}, Outcome(True, "Completed")),
        ({"TrainingJobStatus": "Stopped", "FailureReason": ""}, Outcome(False, "Stopped")),
        ({"TrainingJobStatus": "Failed", "FailureReason": "no\ncapacity"}, Outcome(False, "no capacity")),
    ],
)
def test_a_direct_job_ends_as_sagemaker_says(
    tmp_path: Path, found: dict[str, str], outcome: Outcome | None
) -> None:
    account, said = Account(), settings(tmp_path, south=DIRECT)
    account.client("sagemaker").describe_training_job.return_value = found
    launch = DirectLaunch(said.clients[0], cast("KickoffRole", account), said)
    assert launch.outcome() == outcome
    launch.stop("why")
    account.client("sagemaker").stop_training_job.assert_called_once_with(TrainingJobName="cms-south--run-1")


@pytest.mark.parametrize("end", ['"', ""], ids=["whole", "cut at 1,024 characters"])
def test_a_job_s_command_line_is_no_reason(end: str) -> None:
    what = 'AlgorithmError: ExecuteUserScriptError: ExitCode 1 ErrorMessage ""'
    assert explained(f'{what} Command "python client.py --a b{end}') == what


@pytest.mark.parametrize("code", ["77", "9" * 5_000], ids=["unknown", "no number that Python reads"])
def test_an_unknown_exit_code_is_left_as_it_is(code: str) -> None:
    assert explained(f"ExitCode {code} of something") == f"ExitCode {code} of something"


def test_a_role_is_taken_again_before_its_hour_is_over() -> None:
    with mock_aws():
        role = KickoffRole(Client.model_validate({"name": "north", **BROKERED}), "run-1", OwnAccount())
        first = role.client("s3")
        assert role.client("s3") is first
        role._expires = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=9)
        again = role.client("s3")
        assert again is not first
        assert role.client("s3") is again
        assert again.meta.region_name == "eu-west-1"
        assert boto3.client("sts").get_caller_identity()["Account"]  # our own credentials are left alone
