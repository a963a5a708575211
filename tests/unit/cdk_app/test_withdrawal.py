"""Consent withdrawn at any moment of a job's life, in both ways: no job is alive a while later."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from broker_account import GOOD, LOCK, PREFIX, Account, broker_states, quick
from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.responses import SageMakerResponse
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

from cdk_app.constructs.broker.stopper_states import stopping

TIME_SCALE = 0.01
IN_FLIGHT, LIFE, STOPPING, LATEST = 0.4, 600.0, 0.3, 1.5
"""Seconds: a CreateTrainingJob under way, a job that nobody stops, one that is stopped, a withdrawal."""


class SageMaker:
    """A service whose jobs take time to be made, to run and to stop."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._stopped: set[str] = set()
        self._lock = threading.Lock()

    def create(self, name: str) -> dict[str, str]:
        time.sleep(IN_FLIGHT)
        with self._lock:
            self._ends[name] = time.monotonic() + LIFE
        return {"TrainingJobArn": f"arn:aws:sagemaker:::{name}"}

    def stop(self, name: str) -> None:
        with self._lock:
            if self.status(name) != "InProgress":
                raise ValidationError(message="The training job does not run.")
            self._ends[name] = time.monotonic() + STOPPING
            self._stopped.add(name)

    def status(self, name: str) -> str:
        if name not in self._ends:
            raise ValidationError(message="Requested resource not found.")
        stopped, over = name in self._stopped, time.monotonic() > self._ends[name]
        return ("Stopped" if over else "Stopping") if stopped else ("Completed" if over else "InProgress")

    @property
    def alive(self) -> list[str]:
        return [name for name in self._ends if self.status(name) in ("InProgress", "Stopping")]


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> SageMaker:
    service = SageMaker()

    def answer(call: Callable[[str], Any]) -> Callable[[SageMakerResponse], Any]:
        def respond(self: SageMakerResponse) -> Any:
            found = call(self._get_param("TrainingJobName"))
            return EmptyResult() if found is None else ActionResult(found)

        return respond

    calls: dict[str, Callable[[str], Any]] = {
        "create": service.create,
        "describe": lambda name: {"TrainingJobStatus": service.status(name), "SecondaryStatus": "Training"},
        "stop": service.stop,
    }
    for verb, call in calls.items():
        monkeypatch.setattr(SageMakerResponse, f"{verb}_training_job", answer(call), raising=False)

    def wait(self: WaitFunction, env: Any, wait_seconds: float) -> None:
        env.program_state_event.wait(wait_seconds * TIME_SCALE)

    monkeypatch.setattr(WaitFunction, "_wait_interval", wait)
    return service


def waiting(states: dict[str, Any]) -> dict[str, Any]:
    """Return a definition with its own waits, which are short here, and quick retries."""
    found = quick(states, attempts=8)
    for name, state in states["States"].items():
        if "Seconds" in state:
            found["States"][name]["Seconds"] = state["Seconds"]
    return found


@pytest.mark.parametrize("way", ["the switch", "the execution"])
def test_no_job_is_alive_after_consent_was_withdrawn(
    account: Account, sagemaker: SageMaker, way: str
) -> None:
    prefix = LOCK.execution_prefix.replace(":broker:", ":patient:")
    many = dataclasses.replace(LOCK, runs_per_day=100, execution_prefix=prefix)
    account.machine = account.deploy("patient", waiting(broker_states(run_lock=many)))
    stopper = account.deploy("stopper", waiting(stopping(PREFIX)))
    chance = random.Random(7)
    moments = [0.0, *sorted(chance.uniform(0, LATEST) for _ in range(9))]
    for number, moment in enumerate(moments):
        name = f"run-m{number}"
        account.participate("on")
        execution = account.invite(GOOD | {"run_id": name})
        time.sleep(moment)
        if way == "the switch":
            account.participate("off")
        else:
            account.steps.stop_execution(executionArn=execution)
            told = json.dumps({"detail": {"name": name, "status": "ABORTED"}})
            account.steps.start_execution(stateMachineArn=stopper, name=name, input=told)
        account.end(execution)
        deadline = time.monotonic() + 60 * TIME_SCALE + STOPPING + 5
        while sagemaker.alive:
            assert time.monotonic() < deadline, f"{sagemaker.alive} after {moment:.2f} s"
            time.sleep(0.05)
    time.sleep(2 * IN_FLIGHT)
    assert sagemaker.alive == []
