"""Runs one training job as SageMaker does: inputs from S3, folders, the toolkit, artifacts to S3.

Source: SageMaker Developer Guide, "How Amazon SageMaker Provides Training Information" (the folders under
/opt/ml), "How Amazon SageMaker Runs Your Training Image" and "... Processes Training Output". All of it is
done with the job's execution role, so that a permission that is missing fails here as it would there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from cdk_app.images import named_by
from rehearsal.aws.clients import Clients
from rehearsal.aws.training.environments import image_for
from rehearsal.aws.training.logs import LogStream
from rehearsal.aws.training.transfers import JobFailedError, download, parts, upload

HOST: Final = "algo-1"
STOP_SECONDS: Final = 120.0
"""How long a stopped job may go on before it is killed (SageMaker API reference, StopTrainingJob)."""
TOOLKIT: Final = Path(__file__).with_name("toolkit_entry.py")


class JobStoppedError(Exception):
    """The job was stopped; with a text when its time was up."""


class Execution:
    """One run of one job.

    Parameters
    ----------
    asked
        The CreateTrainingJob request.
    own
        Clients with the execution role's credentials.
    folder
        The job's folder; `opt/ml` in it is what the container calls /opt/ml.
    stopping
        Set when somebody stops the job.
    say
        Told each step, as SecondaryStatus names it.
    time_scale
        How long SageMaker's own waits take here, as a part of what they take on AWS.
    """

    def __init__(
        self,
        asked: Mapping[str, Any],
        own: Clients,
        folder: Path,
        stopping: threading.Event,
        say: Callable[[str], None],
        time_scale: float,
    ) -> None:
        self._asked, self._own, self._folder = asked, own, folder
        self._stopping, self._say, self._time_scale = stopping, say, time_scale
        self._ml = folder / "opt" / "ml"

    def run(self) -> str:
        """Run the job; return where its model lies."""
        stream = f"{self._asked['TrainingJobName']}/{HOST}-{int(time.time())}"
        log = LogStream(self._own.get("logs"), stream, self._folder / "log.txt")
        try:
            self._say("Downloading")
            self._lay_out()
            download(self._own.get("s3"), self._asked, self._ml)
            self._say("Training")
            self._train(log)
        finally:
            log.close()
            self._say("Uploading")
            artifacts = upload(self._own.get("s3"), self._asked, self._ml)
        return artifacts

    def _lay_out(self) -> None:
        """Make the folders and the files that describe the job to its container."""
        for name in ("input/config", "input/data", "model", "output/data", "code"):
            (self._ml / name).mkdir(parents=True)
        channels = {
            channel["ChannelName"]: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for channel in self._asked.get("InputDataConfig") or []
        }
        described = {
            "hyperparameters": self._asked.get("HyperParameters") or {},
            "inputdataconfig": channels,
            "resourceconfig": {"current_host": HOST, "hosts": [HOST], "network_interface_name": "eth0"},
        }
        for name, content in described.items():
            (self._ml / "input" / "config" / f"{name}.json").write_text(json.dumps(content))

    def _train(self, log: LogStream) -> None:
        code = self._unpacked_code()
        uri = self._asked["AlgorithmSpecification"]["TrainingImage"]
        image = image_for(code, named_by(uri) or uri)
        if not image.has_bundle:
            (code / "requirements.txt").unlink()
        process = subprocess.Popen(
            [str(image.toolkit), str(TOOLKIT), str(image.job)],
            cwd=self._folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        reader = threading.Thread(target=log.copy, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            self._watch(process)
        finally:
            _kill(process)
            reader.join(10)
            shutil.rmtree(code, ignore_errors=True)  # it is in S3, and large
        if process.returncode:
            failure = self._ml / "output" / "failure"
            said = failure.read_text() if failure.exists() else ""
            raise JobFailedError(f"AlgorithmError: {said}, exit code: {process.returncode}")

    def _unpacked_code(self) -> Path:
        """Unpack the bundle, which the toolkit does itself only into an empty folder."""
        bucket, key = parts(self._asked["HyperParameters"]["sagemaker_submit_directory"])
        archive = self._folder / "code.tar.gz"
        try:
            self._own.get("s3").download_file(bucket, key, str(archive))
        except ClientError as error:
            raise JobFailedError(f"AlgorithmError: {error}, exit code: 1") from error
        with tarfile.open(archive) as files:
            files.extractall(self._ml / "code", filter="data")
        archive.unlink()
        return self._ml / "code"

    def _environment(self) -> dict[str, str]:
        """Return the container's environment; on AWS the credentials come from an address in it."""
        keys = self._own.credentials
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "SAGEMAKER_BASE_DIR": str(self._ml),
            "TRAINING_JOB_NAME": self._asked["TrainingJobName"],
            "AWS_REGION": self._own.region,
            "AWS_ENDPOINT_URL": self._own.endpoint,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SESSION_TOKEN": keys.token or "",
            "AWS_EC2_METADATA_DISABLED": "true",
            # algo-1 is in no DNS here; this is the toolkit's own switch for such a place.
            "SM_STUDIO_LOCAL_MODE": "true",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "OMP_NUM_THREADS": "1",  # several jobs share this machine
            **(self._asked.get("Environment") or {}),
        }

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the process; a stop does not reach a script in script mode, which is killed in the end."""
        longest = self._asked["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        deadline = time.monotonic() + longest
        stop_at: float | None = None
        while process.poll() is None:
            if self._stopping.is_set() and stop_at is None:
                stop_at = time.monotonic() + STOP_SECONDS * self._time_scale
            if stop_at is not None and time.monotonic() > stop_at:
                raise JobStoppedError
            if time.monotonic() > deadline:
                raise JobStoppedError("MaxRuntimeExceeded")
            time.sleep(0.05)
        if stop_at is not None:
            raise JobStoppedError


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
