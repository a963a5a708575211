"""The training jobs of every account: created, described, stopped, listed."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cdk_app.regions import partition
from rehearsal.aws.authorization import Authorization
from rehearsal.aws.clients import Clients
from rehearsal.aws.errors import AwsError
from rehearsal.aws.events import Events
from rehearsal.aws.principals import Principals
from rehearsal.aws.protocol import Call
from rehearsal.aws.training.execution import Execution, JobStoppedError
from rehearsal.aws.training.request import check, invalid
from rehearsal.aws.training.transfers import JobFailedError


class Job:
    """One job: what was asked for, and how far it is."""

    def __init__(self, account: str, region: str, asked: Mapping[str, Any]) -> None:
        self.account, self.region, self.asked = account, region, asked
        self.name: str = asked["TrainingJobName"]
        self.arn = f"arn:{partition(region)}:sagemaker:{region}:{account}:training-job/{self.name}"
        self.status, self.secondary, self.reason = "InProgress", "Starting", ""
        self.created = dt.datetime.now(dt.UTC)
        self.ended: dt.datetime | None = None
        self.artifacts = ""
        self.stopping = threading.Event()

    def describe(self) -> dict[str, Any]:
        """Return the job as DescribeTrainingJob does."""
        state: dict[str, Any] = {
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": "Stopping" if self.stopping.is_set() and not self.ended else self.status,
            "SecondaryStatus": self.secondary,
            "CreationTime": self.created,
            "LastModifiedTime": self.ended or self.created,
            "ModelArtifacts": {"S3ModelArtifacts": self.artifacts},
        }
        if self.ended:
            state |= {"TrainingEndTime": self.ended}
        if self.reason:
            state |= {"FailureReason": self.reason[:1024]}
        return {**self.asked, **state}


class TrainingJobs:
    """SageMaker's training jobs.

    Parameters
    ----------
    work
        Where each job gets a folder.
    time_scale
        How long SageMaker's own waits take here, as a part of what they take on AWS.
    """

    def __init__(
        self,
        principals: Principals,
        authorization: Authorization,
        service: Callable[[str, str], Clients],
        events: Events,
        work: Path,
        time_scale: float,
    ) -> None:
        self._principals, self._authorization = principals, authorization
        self._service, self._events, self._work, self._time_scale = service, events, work, time_scale
        self._jobs: dict[tuple[str, str, str], Job] = {}
        self._lock = threading.Lock()

    def create(self, call: Call) -> Mapping[str, Any]:
        """CreateTrainingJob."""
        account, region, asked = call.principal.account, call.region, call.parameters
        check(asked, account, region)
        job = Job(account, region, asked)
        try:
            self._authorization.check_service("sagemaker.amazonaws.com", asked["RoleArn"], account, job.arn)
        except AwsError as error:
            raise invalid(f"Could not assume role {asked['RoleArn']}: {error.message}") from error
        with self._lock:
            if (account, region, job.name) in self._jobs:
                raise AwsError("ResourceInUse", f"Training job names must be unique: {job.name} exists")
            self._jobs[account, region, job.name] = job
        threading.Thread(target=self._run, args=(job,), name=job.name, daemon=True).start()
        return {"TrainingJobArn": job.arn}

    def describe(self, call: Call) -> Mapping[str, Any]:
        """DescribeTrainingJob."""
        return self._find(call).describe()

    def stop(self, call: Call) -> Mapping[str, Any]:
        """StopTrainingJob; only a job that runs can be stopped."""
        job = self._find(call)
        if job.ended:
            raise invalid("The request was rejected because the training job is in status " + job.status)
        job.stopping.set()
        return {}

    def list(self, call: Call) -> Mapping[str, Any]:
        """ListTrainingJobs; the name and the state are what can be asked for."""
        asked, here = call.parameters, (call.principal.account, call.region)
        if unknown := asked.keys() - {"NameContains", "StatusEquals", "MaxResults", "SortOrder"}:
            raise invalid(f"The rehearsal's ListTrainingJobs takes no {sorted(unknown)}.")
        jobs = [job.describe() for job in self._jobs.values() if (job.account, job.region) == here]
        jobs = [
            job
            for job in jobs
            if asked.get("NameContains", "") in job["TrainingJobName"]
            and asked.get("StatusEquals", job["TrainingJobStatus"]) == job["TrainingJobStatus"]
        ]
        newest_first = asked.get("SortOrder") == "Descending"
        jobs.sort(key=lambda job: job["CreationTime"], reverse=newest_first)
        return {"TrainingJobSummaries": jobs[: int(asked.get("MaxResults", 10))]}

    def stop_all(self) -> None:
        """End every job's process: the emulated AWS is going down."""
        for job in self._jobs.values():
            job.stopping.set()

    def _find(self, call: Call) -> Job:
        name = call.parameters["TrainingJobName"]
        try:
            return self._jobs[call.principal.account, call.region, name]
        except KeyError:
            raise invalid("Requested resource not found.") from None

    def _run(self, job: Job) -> None:
        """Run a job to its end and tell the account's event rules."""
        _, keys = self._principals.session(job.asked["RoleArn"], "SageMaker", 43_200)
        service = self._service(job.account, job.region)
        own = Clients(service.endpoint, job.region, keys)
        folder = self._work / job.account / job.name
        execution = Execution(
            job.asked,
            own,
            folder,
            job.stopping,
            lambda step: setattr(job, "secondary", step),
            self._time_scale,
        )
        self._tell(job)
        try:
            job.artifacts = execution.run()
            job.status = job.secondary = "Completed"
        except JobStoppedError as stopped:
            job.status = job.secondary = "MaxRuntimeExceeded" if str(stopped) else "Stopped"
            job.status = "Stopped"
        except JobFailedError as failure:
            job.reason, job.status, job.secondary = str(failure), "Failed", "Failed"
        except Exception as error:
            job.reason, job.status, job.secondary = f"InternalServerError: {error!r}", "Failed", "Failed"
            raise
        finally:
            job.ended = dt.datetime.now(dt.UTC)
            self._tell(job)

    def _tell(self, job: Job) -> None:
        detail = {**job.describe(), "TrainingJobStatus": job.status}
        self._events.put(
            job.account, job.region, "aws.sagemaker", "SageMaker Training Job State Change", job.arn, detail
        )
