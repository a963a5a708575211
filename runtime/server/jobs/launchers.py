"""The two ways in which a client's job is started: by its account's broker, or by the server itself."""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.contract import ATTEMPTS, BUSY, INVITATION, ExitCode, job_name
from runtime.server.jobs.assumed_role import KickoffRole
from runtime.server.roster import Client
from runtime.server.settings import PlatformSettings

FIRST_WAIT_SECONDS: Final = 5
"""How long a client that is busy is left alone, at first: twice as long each time, and 80 s at most.

All attempts together take longer than the jobs of a server that was killed look for it.
"""


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    completed: bool
    reason: str = ""
    busy: bool = False
    """Another run of this client goes on; `start_again` is due."""


class Launch(ABC):
    """One client's job: started, looked at, stopped."""

    def __init__(self, client: Client, role: KickoffRole, settings: PlatformSettings) -> None:
        self._client, self._role, self._settings = client, role, settings

    @abstractmethod
    def start(self, invitation: Mapping[str, str]) -> str:
        """Start it; return what was started, as AWS names it."""

    @abstractmethod
    def outcome(self) -> Outcome | None:
        """Return how it ended; None while it goes on."""

    @abstractmethod
    def stop(self, reason: str) -> None:
        """Stop it."""

    def start_again(self) -> str:
        """Start it once more, where another run had the client's lock."""
        raise NotImplementedError

    @abstractmethod
    def adopt(self, started: str) -> None:
        """Take over what another process started, by the name that `start` returned."""


class BrokerLaunch(Launch):
    """Through the client's broker, which pins the whole job; the run's id names its execution."""

    _execution: str = ""
    _attempt: int = 1
    _again_at: float | None = None

    def start(self, invitation: Mapping[str, str]) -> str:
        """Start an execution of the broker."""
        self._said = {option.value.replace("-", "_"): invitation[option.value] for option in INVITATION}
        return self._start(self._settings.run_id)

    def start_again(self) -> str:
        """Start another execution: a name is used once, and one that was throttled has not been."""
        started = self._start(f"{self._settings.run_id}-{self._attempt + 1}")
        self._attempt += 1
        self._again_at = None
        return started

    def _start(self, name: str) -> str:
        self._execution = self._role.client("stepfunctions").start_execution(
            stateMachineArn=self._client.state_machine_arn, name=name, input=json.dumps(self._said)
        )["executionArn"]
        return self._execution

    def adopt(self, started: str) -> None:
        """Take over an execution; whether it is to be tried again is its server's affair."""
        self._execution, self._attempt = started, ATTEMPTS

    def outcome(self) -> Outcome | None:
        """Look at the execution; the broker fails with the job's own reason."""
        if self._again_at is not None:
            return Outcome(completed=False, busy=True) if time.monotonic() >= self._again_at else None
        found = self._role.client("stepfunctions").describe_execution(executionArn=self._execution)
        if found["status"] == "RUNNING":
            return None
        if found.get("error") == BUSY and self._attempt < ATTEMPTS:
            self._again_at = time.monotonic() + min(FIRST_WAIT_SECONDS * 2 ** (self._attempt - 1), 80)
            return None
        why = ": ".join(filter(None, (found.get("error"), explained(found.get("cause", "")))))
        return Outcome(found["status"] == "SUCCEEDED", why or found["status"])

    def stop(self, reason: str) -> None:
        """Stop the execution; the client's own account then stops the job."""
        self._role.client("stepfunctions").stop_execution(executionArn=self._execution, cause=reason)


class DirectLaunch(Launch):
    """With CreateTrainingJob, from the request that the client's account publishes."""

    @property
    def _job(self) -> dict[str, str]:
        return {"TrainingJobName": job_name(self._settings.name, self._client.name, self._settings.run_id)}

    def start(self, invitation: Mapping[str, str]) -> str:
        """Create the job, with the invitation in its hyperparameters."""
        ssm = self._role.client("ssm")
        request: dict[str, Any] = json.loads(
            ssm.get_parameter(Name=self._client.job_parameter)["Parameter"]["Value"]
        )
        request["HyperParameters"] |= {option.value: invitation[option.value] for option in INVITATION}
        made = self._role.client("sagemaker").create_training_job(**self._job, **request)
        return str(made["TrainingJobArn"])

    def outcome(self) -> Outcome | None:
        """Look at the job."""
        found = self._role.client("sagemaker").describe_training_job(**self._job)
        status = found["TrainingJobStatus"]
        if status in ("InProgress", "Stopping"):
            return None
        return Outcome(status == "Completed", explained(found.get("FailureReason", "")) or status)

    def adopt(self, started: str) -> None:
        """Take over a job: run and client name it."""

    def stop(self, reason: str) -> None:  # noqa: ARG002 - SageMaker takes no reason
        """Stop the job."""
        self._role.client("sagemaker").stop_training_job(**self._job)


LAUNCHES: Final[Mapping[str, type[Launch]]] = {"broker": BrokerLaunch, "direct": DirectLaunch}


def explained(reason: str) -> str:
    """Shorten SageMaker's reason to one line, and put a name to the exit code, its only word of our own."""
    line = " ".join(re.sub(r'Command "(?:.*"|.*)', "", reason, flags=re.DOTALL).split())
    code = re.search(r"ExitCode (\d{1,9})\b", line)
    if code and int(code[1]) in ExitCode._value2member_map_:
        return f"{ExitCode(int(code[1])).name} (docs/troubleshooting.md): {line}"
    return line
