"""The versions that both ends of a link must share, and the sentence that says which differ."""

from __future__ import annotations

import hashlib
import importlib.metadata
from functools import cache
from pathlib import Path
from typing import Final

from runtime.contract import PROTOCOL, RELEASE
from runtime.errors import printable

SERVER_ONLY: Final = ("server/", "tabular/server/", "tabular/strategies/", "tabular/report/")
"""Folders of the runtime that no client runs; its bundle leaves them out."""

BUILT_IN: Final = "built-in"


@cache
def versions(app: str = BUILT_IN) -> dict[str, str]:
    """Return what must be equal on both ends: release, protocol, packages, digests of code and app."""
    return {
        "fedstack": RELEASE,
        "protocol": str(PROTOCOL),
        "flwr": importlib.metadata.version("flwr"),
        "scikit-learn": importlib.metadata.version("scikit-learn"),
        "bundle": bundle_digest(Path(__file__).parents[1]),
        "app": app,
    }


def bundle_digest(runtime: Path) -> str:
    """Digest the code that a client runs: the same on both ends only if they run the same release."""
    digest = hashlib.sha256()
    for path in sorted([*runtime.rglob("*.py"), *runtime.rglob("pyproject.toml")]):
        name = path.relative_to(runtime).as_posix()
        if not name.startswith(SERVER_ONLY):
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def differences(ours: dict[str, str], theirs: dict[str, str]) -> str:
    """Name every version that differs, with both values; an empty string when none does."""
    return "; ".join(
        f"{name}: server has {value}, client has {printable(theirs.get(name, 'none'), 100)}"
        for name, value in ours.items()
        if theirs.get(name) != value
    )
