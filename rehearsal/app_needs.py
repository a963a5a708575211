"""What a Flower app needs of this environment, where a rehearsal's server and its PyTorch jobs run."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cdk_app.app_bundle import requirements
from cdk_app.images import suited_to
from cdk_app.project import SHIPPED
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp

TESTED: Final = SHIPPED / "examples" / "constraints.txt"
"""The versions that the examples are tested with."""


def image_of(app: FlowerApp) -> str:
    """Return the image that has what an app needs, or else the default one."""
    return suited_to(canonicalize_name(requirement.name) for requirement in requirements(app))


def installed() -> dict[str, str]:
    """Return the packages of this environment with their versions."""
    return {
        canonicalize_name(found.metadata["Name"]): found.version
        for found in importlib.metadata.distributions()
    }


def install(app: FlowerApp) -> list[str]:
    """Install what an app needs and is not here; return what that was.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG, when pip cannot.
    """
    missing = [str(one) for one in requirements(app) if not _is_here(one)]
    if missing:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as ours:  # what is here stays as it is
            ours.write("".join(f"{name}=={version}\n" for name, version in installed().items()))
            ours.flush()
            pip = [sys.executable, "-m", "pip", "install", "--quiet"]
            held = ["--constraint", str(TESTED), "--constraint", ours.name]
            found = subprocess.run([*pip, *held, *missing], capture_output=True, text=True, check=False)
        if found.returncode:
            raise FedstackError(
                ExitCode.CONFIG,
                f"What {app.name} needs cannot be installed here: {' '.join(found.stderr.split())[:500]}",
                "Let its dependencies go with what is in .venv.",
            )
    return missing


def _is_here(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False
