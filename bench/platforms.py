"""Does the lock resolve with wheels on machines that nobody runs CI on? The table of docs/platforms.md.

python -m bench.platforms [--json FILE]

Asks the package index, installs nothing. A package of the lock that has no wheel for a machine is named;
set-up builds it from source there.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.tables import console, save

ROOT: Final = Path(__file__).parents[1]
MACHINES: Final = {
    "Linux, x86-64, glibc 2.28": "x86_64-manylinux_2_28",
    "Linux, arm64, glibc 2.28": "aarch64-manylinux_2_28",
    "macOS 14, Apple Silicon": "aarch64-apple-darwin",
}
LOCKS: Final = ("requirements.txt", "requirements-dev.txt")
PYTHONS: Final = ("3.11", "3.12", "3.13")
NO_WHEEL: Final = re.compile(r"Because ([\w.-]+)(?:\{[^}]*\})?==([\w.]+) has no (?:usable )?wheels")


def without_wheel(lock: str, machine: str, python: str) -> list[str]:
    """Name every package of a lock that has no wheel for a machine and a Python.

    uv names one at a time, so that it is asked again with that one allowed as source.
    """
    found: dict[str, str] = {}
    uv = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "compile",
        "--quiet",
        lock,
        "--only-binary",
        ":all:",
    ]
    target = ["--python-platform", machine, "--python-version", python]
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    while True:
        allowed = [word for name in found for word in ("--no-binary", name)]
        told = subprocess.run(
            [*uv, *target, *allowed], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if told.returncode == 0:
            return [f"{name} {version}" for name, version in found.items()]
        named = NO_WHEEL.search(" ".join(told.stderr.split()))
        if named is None or named[1] in found:
            raise SystemExit(f"{lock} does not resolve for {machine}, Python {python}: {told.stderr}")
        found[named[1]] = named[2]


def main() -> None:
    """Ask for every lock, machine and Python."""
    parser = argparse.ArgumentParser(description="Does the lock resolve with wheels?")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    figures: dict[str, dict[str, dict[str, list[str]]]] = {}
    console.print("| machine | lock | " + " | ".join(f"Python {python}" for python in PYTHONS) + " |")
    console.print("|---" * (2 + len(PYTHONS)) + "|")
    for name, machine in MACHINES.items():
        for lock in LOCKS:
            missing = {python: without_wheel(lock, machine, python) for python in PYTHONS}
            figures.setdefault(name, {})[lock] = missing
            cells = (", ".join(found) or "all wheels" for found in missing.values())
            console.print(f"| {name} | `{lock}` | {' | '.join(cells)} |", soft_wrap=True)
    save(figures, options.json)


if __name__ == "__main__":
    main()
