"""Virtual environments of jobs: one per bundle, one for the toolkit, each made once and kept in .venvs/.

The image is Python 3.12. Where this machine has one, a job runs on it with exactly the bundle's wheels;
where it has not, on the Python that runs the rehearsal, with the project's own packages (docs/rehearsal.md
says so).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cdk_app.images import DEFAULT, published
from cdk_app.project import CACHE
from runtime.contract import ExitCode, FedstackError

ENVIRONMENTS: Final = CACHE / ".venvs"
TOOLKIT_LOCK: Final = Path(__file__).with_name("toolkit.txt")
_making = threading.Lock()


@dataclass(frozen=True)
class Image:
    """What a container image would bring: the toolkit's Python, and the job's."""

    toolkit: Path
    job: Path
    has_bundle: bool


def image_for(code: Path, image: str = DEFAULT) -> Image:
    """Return the environments for an unpacked bundle on an image, made if they are not there yet.

    What PyTorch's image has is taken from the Python that runs the rehearsal.
    """
    base = python_312() if image not in published() or not published()[image].has else None
    with _making:
        # The toolkit tells the job where its own Python has its modules: the two must be one version.
        toolkit = _environment(base or Path(sys.executable), TOOLKIT_LOCK, "toolkit", ["--require-hashes"])
        if base is None:
            return Image(toolkit, Path(sys.executable), has_bundle=False)
        offline = ["--offline", "--no-index", "--find-links", str(code / "wheels"), "--require-hashes"]
        job = _environment(base, code / "requirements.txt", "bundle", offline)
    return Image(toolkit, job, has_bundle=True)


def install(bundle: Path, image: str = DEFAULT) -> None:
    """Make the environments for a built bundle ahead of its first job."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(bundle) as files:
        files.extractall(folder, filter="data")
        image_for(Path(folder), image)


def python_312() -> Path | None:
    """Return a Python 3.12 of this machine, if it has one."""
    if sys.version_info[:2] == (3, 12):
        return Path(sys.executable)
    found = [shutil.which("python3.12"), *sorted(Path.home().glob(".pyenv/versions/3.12*/bin/python"))]
    for python in (one for one in found if one):
        said = subprocess.run([str(python), "--version"], capture_output=True, text=True, check=False)
        if said.stdout.startswith("Python 3.12."):  # a name on the path may be a shim that starts nothing
            return Path(python)
    return None


def _uv() -> Path:
    return Path(sys.executable).with_name("uv")


def _environment(base: Path, lock: Path, name: str, options: list[str]) -> Path:
    """Return the Python of an environment that holds exactly a lock's packages; its hash is its name."""
    text = "\n".join(line for line in lock.read_text().splitlines() if not line.startswith("--"))
    digest = hashlib.sha256(f"{base}\n{text}".encode()).hexdigest()[:16]
    folder = ENVIRONMENTS / f"{name}-{digest}"
    python = folder / "bin" / "python"
    if python.exists():
        return python
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=ENVIRONMENTS))
    try:
        subprocess.run([str(base), "-m", "venv", str(fresh)], check=True, capture_output=True)
        wanted = fresh / "wanted.txt"
        wanted.write_text(text)
        install = [str(_uv()), "pip", "install", "--quiet", *options, "-r", str(wanted)]
        environment = {**os.environ, "VIRTUAL_ENV": str(fresh)}
        subprocess.run(install, check=True, capture_output=True, text=True, env=environment)
        fresh.rename(folder)  # another process may have been first
    except subprocess.CalledProcessError as error:
        last = " ".join(str(error.stderr or error).split())[-300:]
        raise FedstackError(
            ExitCode.CONFIG,
            f"What the emulated {name} needs cannot be installed: {last}.",
            "Let this machine reach a package index, and make room on the disk, then try again.",
        ) from error
    except OSError:
        if not python.exists():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return python
