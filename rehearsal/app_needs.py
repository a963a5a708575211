"""What a Flower app needs of this environment, where a rehearsal's server and its PyTorch jobs run."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from typing import Final

from packaging.requirements import Requirement

from cdk_app.app_bundle import requirements
from cdk_app.images import suited_to
from rehearsal.processes import PROJECT
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp

TESTED: Final = PROJECT / "examples" / "constraints.txt"
"""The versions that the examples are tested with."""


def image_of(app: FlowerApp) -> str:
    """Return the image that has what an app needs, or else the default one."""
    return suited_to(requirement.name for requirement in requirements(app))


def installed() -> dict[str, str]:
    """Return the packages of this environment with their versions."""
    return {found.metadata["Name"].lower(): found.version for found in importlib.metadata.distributions()}


def install(app: FlowerApp) -> list[str]:
    """Install what an app needs and is not here; return what that was.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG, when pip cannot.
    """
    missing = [str(one) for one in requirements(app) if not _is_here(one)]
    if missing:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(TESTED), *missing]
        found = subprocess.run(pip, capture_output=True, text=True, check=False)
        if found.returncode:
            raise FedstackError(
                ExitCode.CONFIG,
                f"What {app.name} needs cannot be installed here: {' '.join(found.stderr.split())[-400:]}",
                "Correct its dependencies, or install them in .venv.",
            )
    return missing


def _is_here(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False
