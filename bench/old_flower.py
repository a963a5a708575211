"""An environment with flwr 1.3.0, the last release that the reference federation ran on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.workers import PROJECT

FOLDER: Final = PROJECT / ".venvs" / "flwr-1.3"
PINS: Final = (
    "flwr==1.3.0",
    "grpcio==1.85.1",
    "protobuf==3.20.3",
    "numpy==1.26.4",
    "iterators==0.0.2",
    "scikit-learn==1.5.2",
)


class NoPythonError(SystemExit):
    """There is no Python 3.10 on this machine: ends the script with one sentence."""


def python_of_old_flower() -> str:
    """Return the environment's Python; make the environment on first use."""
    python = FOLDER / "bin" / "python"
    ready = FOLDER / "ready"
    if not ready.exists() or ready.read_text() != "\n".join(PINS):
        base = _python_3_10()
        shutil.rmtree(FOLDER, ignore_errors=True)
        subprocess.run([base, "-m", "venv", str(FOLDER)], check=True)
        install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *PINS]
        subprocess.run(install, check=True)
        ready.write_text("\n".join(PINS))
    return str(python)


def _python_3_10() -> str:
    for candidate in _candidates():
        check = [candidate, "-c", "import sys, venv; sys.exit(sys.version_info[:2] != (3, 10))"]
        if subprocess.run(check, capture_output=True, check=False).returncode == 0:
            return candidate
    raise NoPythonError(
        "flwr 1.3.0 needs Python 3.10 and none was found: not as python3.10 on the PATH, not in pyenv, "
        "not by uv. Install one, or leave this measurement out with --without flwr_1_3."
    )


def _candidates() -> Iterator[str]:
    if on_path := shutil.which("python3.10"):
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob("versions/3.10.*/bin/python3.10"), reverse=True))
    if uv := shutil.which("uv"):
        find = [uv, "python", "find", "--no-python-downloads", "3.10"]
        yield from subprocess.run(find, capture_output=True, text=True, check=False).stdout.split()
