"""What a deployed broker refuses, asked as the server asks it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cdk_app.naming import ClientNames
from rehearsal.journey import Journey

pytestmark = pytest.mark.timeout(900)

GOOD = {
    "run_id": "",
    "server_address": "127.0.0.1:9092",
    "server_fingerprint": "sha256:" + "a" * 64,
}


@pytest.fixture(scope="session")
def client(journey: Journey) -> ClientNames:
    return journey.deployment.clients["silo-0"]


def outcome(journey: Journey, client: ClientNames, name: str, said: dict[str, Any]) -> dict[str, Any]:
    """Start an execution and wait for its end."""
    states = journey.deployment.owner(client, "stepfunctions")
    arn = states.start_execution(stateMachineArn=client.broker_arn, name=name, input=json.dumps(said))[
        "executionArn"
    ]
    deadline = time.monotonic() + 60
    while (found := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the broker still runs"
        time.sleep(0.2)
    answer: dict[str, Any] = found
    return answer


def jobs(journey: Journey, client: ClientNames) -> list[str]:
    found = journey.deployment.owner(client, "sagemaker").list_training_jobs()["TrainingJobSummaries"]
    return [job["TrainingJobName"] for job in found]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run-unknown-field", {"image": "mine"}),
        ("run-address", {"server_address": "10.0.0.1:22"}),
        ("run-shell", {"server_address": "a;reboot:9092"}),
        ("run-fingerprint", {"server_fingerprint": "sha256:nothex"}),
        ("run-other-name", {"run_id": "run-not-the-execution"}),
    ],
)
def test_a_bad_invitation_is_refused_and_starts_nothing(
    journey: Journey, client: ClientNames, name: str, change: dict[str, str]
) -> None:
    found = outcome(journey, client, name, {**GOOD, "run_id": name, **change})
    assert (found["status"], found["error"]) == ("FAILED", "BadInvitation")
    assert f"{client.job_prefix}{name}" not in jobs(journey, client)


@pytest.fixture
def switched_off(journey: Journey, client: ClientNames) -> Iterator[None]:
    ssm = journey.deployment.owner(client, "ssm")
    ssm.put_parameter(Name=client.participation, Value="off", Type="String", Overwrite=True)
    yield
    ssm.put_parameter(Name=client.participation, Value="on", Type="String", Overwrite=True)


@pytest.mark.usefixtures("switched_off")
def test_a_client_that_does_not_take_part_starts_nothing(journey: Journey, client: ClientNames) -> None:
    found = outcome(journey, client, "run-off", {**GOOD, "run_id": "run-off"})
    assert (found["status"], found["error"]) == ("FAILED", "ParticipationOff")
    assert f"{client.job_prefix}run-off" not in jobs(journey, client)
