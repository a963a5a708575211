"""A job's output in CloudWatch Logs: group /aws/sagemaker/TrainingJobs, one stream per host.

Source: SageMaker Developer Guide, "Log groups and streams that Amazon SageMaker sends to CloudWatch Logs".
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import IO, Any, Final

from botocore.exceptions import ClientError

GROUP: Final = "/aws/sagemaker/TrainingJobs"


class LogStream:
    """One stream; lines are sent when there is a second's worth of them, and at the end.

    Parameters
    ----------
    logs
        A client of CloudWatch Logs.
    stream
        The stream's name.
    copy
        A file of this machine that gets the same lines.
    """

    def __init__(self, logs: Any, stream: str, copy: Path) -> None:
        self._logs, self._stream, self._copy = logs, stream, copy
        copy.parent.mkdir(parents=True, exist_ok=True)
        self._lines: list[dict[str, Any]] = []
        self._sent = time.monotonic()
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)

    def copy(self, output: IO[bytes]) -> None:
        """Send every line of a process's output."""
        for line in output:
            with self._copy.open("ab") as file:
                file.write(line)
            text = line.decode("utf-8", "replace").rstrip()
            self._lines.append({"timestamp": int(time.time() * 1000), "message": text or " "})
            if time.monotonic() - self._sent > 1:
                self.close()

    def close(self) -> None:
        """Send what is left."""
        lines, self._lines, self._sent = self._lines, [], time.monotonic()
        if lines:
            with contextlib.suppress(ClientError):  # the log group may be gone with its stack
                self._logs.put_log_events(logGroupName=GROUP, logStreamName=self._stream, logEvents=lines)
