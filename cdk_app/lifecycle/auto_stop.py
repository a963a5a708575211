"""Stops a notebook that nobody uses: no federation, no kernel at work, no kernel or terminal in use."""

import argparse
import datetime
import fcntl
import json
import pathlib
import ssl
import subprocess
import time
import urllib.request
from typing import Any

JUPYTER = "https://localhost:8443"
STATE = pathlib.Path("/var/run/fedstack-last-busy")


def jupyter(path: str) -> list[dict[str, Any]]:
    """Ask the notebook's own Jupyter server; its certificate is self-signed and never leaves the machine."""
    unverified = ssl._create_unverified_context()
    with urllib.request.urlopen(f"{JUPYTER}{path}", context=unverified, timeout=20) as answer:
        sessions: list[dict[str, Any]] = json.load(answer)
    return sessions


def federation_runs(lock: pathlib.Path) -> bool:
    """Whether a run holds its lock, however it was started; the system lets go of a killed one's."""
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # nobody has run anything yet
        return False
    return False


def seconds_since(stamp: str) -> float:
    """Return how long ago Jupyter saw something."""
    then = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()  # noqa: UP017 - Python 3.9


def busy(lock: pathlib.Path, idle_seconds: float) -> bool:
    """Whether anything goes on that a person or a run would miss; what cannot be asked is not missed."""
    if federation_runs(lock):
        return True
    try:
        sessions, terminals = jupyter("/api/sessions"), jupyter("/api/terminals")
    except (OSError, ValueError) as error:  # Jupyter is not there: nobody works in it
        print(f"Jupyter does not answer: {error}")  # noqa: T201
        return False
    kernels = [session["kernel"] for session in sessions]
    at_work = any(kernel["execution_state"] == "busy" for kernel in kernels)
    return at_work or any(seconds_since(one["last_activity"]) < idle_seconds for one in kernels + terminals)


def last_activity(lock: pathlib.Path, idle_seconds: float) -> float:
    """When somebody was last seen, in seconds since the epoch; the first look counts as activity."""
    if not STATE.exists() or busy(lock, idle_seconds):
        STATE.write_text(str(time.time()))
    return float(STATE.read_text())


def main() -> None:
    """Stop this notebook instance when it has been idle for too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--minutes", type=int, required=True)
    parser.add_argument("--lock", type=pathlib.Path, required=True)
    options = parser.parse_args()
    if time.time() - last_activity(options.lock, options.minutes * 60) < options.minutes * 60:
        return
    subprocess.run(
        ["/usr/bin/aws", "sagemaker", "stop-notebook-instance"]  # noqa: RUF005
        + ["--notebook-instance-name", options.name, "--region", options.region],
        check=True,
    )


if __name__ == "__main__":
    main()
