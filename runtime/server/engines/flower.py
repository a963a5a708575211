"""The same ServerApp and ClientApps on Flower's own engines: SuperLink, and its simulation runtime.

The app that Flower is given names our apps and holds no code: every node runs the release that it has
installed itself, so a server cannot ship code to a client this way either.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from runtime.contract import ExitCode, FedstackError
from runtime.link.identity import make_identity
from runtime.server.settings import AppSettings, PlatformSettings

START_SECONDS: Final = 60.0
PROJECT: Final = Path(__file__).parents[3]
APP: Final = {
    "pyproject.toml": """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "fedstack"
version = "1.0.0"
description = "Names the Fedstack apps that every node has installed itself"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedstack"

[tool.flwr.app.components]
serverapp = "fedstack_app.server:app"
clientapp = "fedstack_app.client:app"

[tool.flwr.app.config]
settings = ""
silos = ""
run-config = ""
""",
    "fedstack_app/__init__.py": "",
    "fedstack_app/server.py": "from runtime.server.engines import engine_app as ours\n\napp = ours.app\n",
    "fedstack_app/client.py": "from runtime.client.hosting import engine_app as ours\n\napp = ours.app\n",
}


def run_on_superlink(settings: PlatformSettings, settings_file: Path) -> None:
    """Start a SuperLink with TLS, invite SuperNodes, and submit the run to it."""
    with _workplace() as place, _superlink(settings, place) as address:
        certificate = settings.out / "superlink.pem"
        certificate.write_bytes((place / "superlink.pem").read_bytes())
        invitation = {"superlink": address, "root-certificates": str(certificate.absolute())}
        (settings.out / "invitation.json").write_text(json.dumps(invitation, indent=1) + "\n")
        _submit(settings, settings_file, place)


def run_on_simulation(settings: PlatformSettings, settings_file: Path) -> None:
    """Run every client of the roster as a virtual node of Flower's simulation runtime."""
    with _workplace() as place, _superlink(settings, place, "--simulation"):
        cpus = max(1, os.cpu_count() or 1)
        nodes = f"num-supernodes={len(settings.roster)} client-resources-num-cpus=1 init-args-num-cpus={cpus}"
        _submit(settings, settings_file, place, "--federation-config", nodes)


@contextmanager
def _workplace() -> Iterator[Path]:
    """Make a folder for Flower's own files and the SuperLink's key; it goes with the run."""
    with tempfile.TemporaryDirectory(prefix="fedstack-") as folder:
        place = Path(folder)
        for name, text in APP.items():
            path = place / "app" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        yield place


@contextmanager
def _superlink(settings: PlatformSettings, place: Path, *options: str) -> Iterator[str]:
    """Run a SuperLink; yield its address."""
    host, _, port = settings.address.rpartition(":")
    own = make_identity(host, settings.run_seconds)
    (place / "superlink.pem").write_bytes(own.certificate)
    (place / "superlink.key").touch(mode=0o600)
    (place / "superlink.key").write_bytes(own.key)
    command = [
        str(Path(sys.executable).with_name("flower-superlink")),
        *("--host", host, "--port", port),
        *("--ssl-certfile", str(place / "superlink.pem"), "--ssl-keyfile", str(place / "superlink.key")),
        *("--ssl-ca-certfile", str(place / "superlink.pem")),
        "--disable-runtime-dependency-installation",
        *options,
    ]
    log = settings.out / "superlink.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=flower_environment(place),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_port(process, host, int(port), log)
        yield f"{host}:{port}"
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _submit(settings: PlatformSettings, settings_file: Path, place: Path, *options: str) -> None:
    """Submit the run and show its log until it ends."""
    certificate = place / "superlink.pem"
    (place / "config.toml").write_text(
        f'[superlink.fedstack]\naddress = "{settings.address}"\nroot-certificates = "{certificate}"\n'
    )
    silos = settings.silos.absolute() if settings.silos else ""
    run_config = json.dumps(settings.run_config) if isinstance(settings, AppSettings) else ""
    command = [
        str(Path(sys.executable).with_name("flwr")),
        *("run", str(place / "app"), "fedstack", "--stream"),
        *("--run-config", f'settings="{settings_file}" silos="{silos}" run-config=\'{run_config}\''),
        *options,
    ]
    report = settings.out / "report.json"
    report.unlink(missing_ok=True)
    try:
        subprocess.run(command, env=flower_environment(place), check=False, timeout=settings.run_seconds)
    except subprocess.TimeoutExpired:
        raise FedstackError(
            ExitCode.RUN_DEADLINE,
            f"The run took more than {settings.run_seconds:g} s.",
            "Raise run_seconds and go on with --resume.",
        ) from None
    if not report.exists():
        raise FedstackError(
            ExitCode.ENGINE,
            "Flower ended the run before it made a report.",
            f"See {settings.out / 'superlink.log'}.",
        )


def flower_environment(place: Path) -> dict[str, str]:
    """Return the environment for Flower's commands: its files in one place, and our release to import."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "FLWR_HOME": str(place),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH")))),
    }


def _await_port(process: subprocess.Popen[bytes], host: str, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise FedstackError(
        ExitCode.ENGINE, f"Flower's SuperLink does not listen on {host}:{port}.", f"See {log}."
    )
