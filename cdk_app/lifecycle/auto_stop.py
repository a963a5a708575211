"""Stops a notebook that nobody uses: no kernel at work, no terminal, no federation running."""

import argparse
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


def federation_runs() -> bool:
    """Whether the server script or any other process of the bundle is at work."""
    return subprocess.run(["/usr/bin/pgrep", "-f", "fedstack/venv/bin"], capture_output=True).returncode == 0


def busy() -> bool:
    """Whether anything goes on that a person or a run would miss."""
    if federation_runs():
        return True
    return any(session["kernel"]["execution_state"] != "idle" for session in jupyter("/api/sessions"))


def last_activity() -> float:
    """When somebody was last seen, in seconds since the epoch; the first look counts as activity."""
    if not STATE.exists() or busy():
        STATE.write_text(str(time.time()))
    return float(STATE.read_text())


def main() -> None:
    """Stop this notebook instance when it has been idle for too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--minutes", type=int, required=True)
    options = parser.parse_args()
    if time.time() - last_activity() < options.minutes * 60:
        return
    subprocess.run(
        ["/usr/bin/aws", "sagemaker", "stop-notebook-instance"]  # noqa: RUF005
        + ["--notebook-instance-name", options.name, "--region", options.region],
        check=True,
    )


if __name__ == "__main__":
    main()
