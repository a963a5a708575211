"""Stops a notebook that nobody uses: no kernel at work, no terminal, no federation running."""

import argparse
import datetime
import json
import pathlib
import ssl
import subprocess
import time
import urllib.request
from typing import Any

JUPYTER = "https://localhost:8443"
STATE = pathlib.Path("/var/run/fedstack-last-busy")
PROCESSES = pathlib.Path("/proc")
BUNDLE = b"/SageMaker/fedstack/venv/"


def jupyter(path: str) -> list[dict[str, Any]]:
    """Ask the notebook's own Jupyter server; its certificate is self-signed and never leaves the machine."""
    unverified = ssl._create_unverified_context()
    with urllib.request.urlopen(f"{JUPYTER}{path}", context=unverified, timeout=20) as answer:
        sessions: list[dict[str, Any]] = json.load(answer)
    return sessions


def federation_runs() -> bool:
    """Whether a process has its code or its packages from the bundle, however it was started."""
    for process in PROCESSES.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            loaded = (process / "maps").read_bytes()
        except OSError:  # it has ended
            continue
        if BUNDLE in words or BUNDLE in loaded:
            return True
    return False


def seconds_since(stamp: str) -> float:
    """Return how long ago Jupyter saw something."""
    then = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    return (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()  # noqa: UP017 - Python 3.9


def busy(idle_seconds: float) -> bool:
    """Whether anything goes on that a person or a run would miss; what cannot be asked is not missed."""
    if federation_runs():
        return True
    try:
        sessions, terminals = jupyter("/api/sessions"), jupyter("/api/terminals")
    except (OSError, ValueError) as error:  # Jupyter is not there: nobody works in it
        print(f"Jupyter does not answer: {error}")  # noqa: T201
        return False
    at_work = any(session["kernel"]["execution_state"] != "idle" for session in sessions)
    return at_work or any(seconds_since(one["last_activity"]) < idle_seconds for one in terminals)


def last_activity(idle_seconds: float) -> float:
    """When somebody was last seen, in seconds since the epoch; the first look counts as activity."""
    if not STATE.exists() or busy(idle_seconds):
        STATE.write_text(str(time.time()))
    return float(STATE.read_text())


def main() -> None:
    """Stop this notebook instance when it has been idle for too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--minutes", type=int, required=True)
    options = parser.parse_args()
    if time.time() - last_activity(options.minutes * 60) < options.minutes * 60:
        return
    subprocess.run(
        ["/usr/bin/aws", "sagemaker", "stop-notebook-instance"]  # noqa: RUF005
        + ["--notebook-instance-name", options.name, "--region", options.region],
        check=True,
    )


if __name__ == "__main__":
    main()
