"""What a bundle carries of a Flower app: its files, and the wheels that it needs beyond ours.

The app's requirements are resolved by uv for the image's Python and platform, against the versions that are
bundled anyway, and locked with their hashes; the job installs them without a network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp
from runtime.link import flower

IMAGE_PYTHON: Final = "3.12"
IMAGE_PLATFORM: Final = "x86_64-manylinux_2_34"
FOLDER: Final = "app"
"""Where a bundle has the app; runtime.flower_app.BUNDLED_APP is that place."""

_BLOCK: Final = re.compile(r"^[A-Za-z0-9]")


def files(app: FlowerApp) -> Iterator[tuple[str, bytes]]:
    """Yield the app's files under the names that they have in a bundle."""
    for path in app.files():
        yield f"{FOLDER}/{path.relative_to(app.folder).as_posix()}", path.read_bytes()


def lock(app: FlowerApp, ours: str, has: Mapping[str, str] | None = None) -> str:
    """Resolve what the app needs beyond our own lock; return it as a lock with hashes, '' for nothing.

    Parameters
    ----------
    ours
        The text of our own lock, whose versions hold.
    has
        Versions of packages that are there anyway, and are not carried.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG, when something has no wheel for the image or does not go with our versions.
    """
    there = has or {}
    wanted = [
        requirement
        for requirement in requirements(app)
        if requirement.name != "flwr" and not _is_there(app, requirement, there)
    ]
    if not wanted:
        return ""
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "-", "--quiet", "--no-header"]
    how = ["--no-annotate", "--no-emit-index-url", "--generate-hashes", "--only-binary", ":all:"]
    target = ["--python-version", IMAGE_PYTHON, "--python-platform", IMAGE_PLATFORM]
    known = _pins(ours)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write("".join(f"{name}=={version}\n" for name, version in known.items()))
        pins.flush()
        found = subprocess.run(
            [*uv, *how, *target, "--constraints", pins.name],
            input="\n".join(map(str, wanted)),
            capture_output=True,
            text=True,
            check=False,
        )
    if found.returncode:
        reason = " ".join(found.stderr.split())
        raise FedstackError(
            ExitCode.CONFIG,
            f"What {app.name} needs cannot be bundled for the image (Python {IMAGE_PYTHON}, "
            f"{IMAGE_PLATFORM}): {reason[:600]}.",
            "Ask for versions in its pyproject.toml that have a wheel for it and go with Fedstack's own.",
        )
    blocks = [block for block in _blocks(found.stdout) if _name_of(block) not in known]
    return "".join(blocks)


def requirements(app: FlowerApp) -> list[Requirement]:
    """Return what an app says that it needs."""
    project: dict[str, Any] = flower.project_of(app.folder)["project"]
    try:
        return [Requirement(text) for text in project.get("dependencies", [])]
    except InvalidRequirement as error:
        raise FedstackError(
            ExitCode.CONFIG, f"{app.name} has a requirement that is none: {error}.", "Correct it."
        ) from None


def _is_there(app: FlowerApp, requirement: Requirement, has: Mapping[str, str]) -> bool:
    name = canonicalize_name(requirement.name)
    if name not in has:
        return False
    if not requirement.specifier.contains(has[name]):
        raise FedstackError(
            ExitCode.CONFIG,
            f"{app.name} needs {requirement}, and the image has {name} {has[name]}.",
            "Let its pyproject.toml take the image's version, or choose another image.",
        )
    return True


def _blocks(text: str) -> Iterator[str]:
    """Yield each package of a lock with its hashes."""
    block: list[str] = []
    for line in text.splitlines(keepends=True):
        if _BLOCK.match(line) and block:
            yield "".join(block)
            block = []
        if _BLOCK.match(line) or block:
            block.append(line)
    if block:
        yield "".join(block)


def _name_of(block: str) -> str:
    return canonicalize_name(re.split(r"[=<>\[; ]", block, maxsplit=1)[0])


def _pins(text: str) -> dict[str, str]:
    """Return the versions of a lock by canonical name."""
    lines = (block.split()[0] for block in _blocks(text))
    return {_name_of(line): line.partition("==")[2] for line in lines if "==" in line}
