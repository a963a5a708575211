"""The measurements' apps on Flower's own deployment runtime: a SuperLink with TLS and two SuperNodes."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Final

from bench.workers import Worker, WorkerError, Workers
from runtime.link.identity import make_identity
from runtime.server.engines.flower import flower_environment

NODES: Final = 2
PATIENCE: Final = 300.0
APP: Final = {
    "pyproject.toml": """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "echo"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedstack"

[tool.flwr.app.components]
serverapp = "echo_app.apps:server"
clientapp = "echo_app.apps:client"

[tool.flwr.app.config]
out = ""
clients = 0
rounds = 0
""",
    "echo_app/__init__.py": "",
    "echo_app/apps.py": "from bench.echo import client, server\n\n__all__ = ['client', 'server']\n",
}


def seconds_per_round(folder: Path, rounds: int) -> list[float]:
    """Play rounds through a SuperLink; return the seconds of each after the first."""
    own = make_identity("127.0.0.1", 3600)
    certificate, key, out = folder / "link.pem", folder / "link.key", folder / "seconds.json"
    certificate.write_bytes(own.certificate)
    key.write_bytes(own.key)
    for name, text in APP.items():
        path = folder / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    address = f"127.0.0.1:{_free_port()}"
    (folder / "config.toml").write_text(
        f'[superlink.bench]\naddress = "{address}"\nroot-certificates = "{certificate}"\n'
    )
    trust = (
        "--ssl-certfile",
        str(certificate),
        "--ssl-keyfile",
        str(key),
        "--ssl-ca-certfile",
        str(certificate),
    )
    host, _, port = address.partition(":")
    settings = f'out="{out}" clients={NODES} rounds={rounds}'
    with Workers(folder) as workers:
        environment = flower_environment(folder)
        superlink = workers.start(
            *(_command("flower-superlink"), "--host", host, "--port", port, *trust),
            "--disable-runtime-dependency-installation",
            environment=environment,
        )
        _await_port(superlink, host, int(port))
        for _ in range(NODES):
            workers.start(
                *(_command("flower-supernode"), "--superlink", address, "--port", str(_free_port())),
                *("--root-certificates", str(certificate)),
                environment=environment,
            )
        submit = (_command("flwr"), "run", str(folder / "app"), "bench", "--run-config", settings, "--stream")
        run = workers.start(*submit, environment=environment)
        return _await_figures(run, out)


def _await_figures(run: Worker, out: Path) -> list[float]:
    deadline = time.monotonic() + PATIENCE
    while not out.exists():
        if time.monotonic() > deadline or run.process.poll():
            raise WorkerError(f"the run on SuperLink gave no figures:\n{run.log_tail()}")
        time.sleep(0.5)
    seconds: list[float] = json.loads(out.read_text())
    return seconds


def _command(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _await_port(process: Worker, host: str, port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.process.poll() is None:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise WorkerError(f"SuperLink does not listen:\n{process.log_tail()}")
