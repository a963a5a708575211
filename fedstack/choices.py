"""Words that options take, read from the sources: known where nothing can be imported yet.

The Makefile asks before there is a virtual environment: standard library only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TABULAR: Final = ROOT / "runtime" / "tabular"


def models() -> list[str]:
    """Return the models' names: each is a file that defines MODEL."""
    files = (TABULAR / "models").glob("*.py")
    return sorted(file.stem for file in files if any(name == "MODEL" for name, _ in _assigned(file)))


def strategies() -> list[str]:
    """Return the strategies' names: the keys of the catalogue."""
    for name, value in _assigned(TABULAR / "strategies" / "catalogue.py"):
        if name == "STRATEGIES" and isinstance(value, ast.Dict):
            return sorted(str(key.value) for key in value.keys if isinstance(key, ast.Constant))
    return []


def splits() -> list[str]:
    """Return how silos may differ."""
    return _members(TABULAR / "data" / "silos.py", "Split")


def engines() -> list[str]:
    """Return what may carry the messages."""
    return _members(ROOT / "runtime" / "server" / "settings.py", "Engine")


def updates() -> list[str]:
    """Return how updates may leave a client."""
    return _members(ROOT / "runtime" / "contract.py", "Updates")


def _assigned(file: Path) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the names that a module assigns at its top, with what is assigned."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.value
        elif isinstance(node, ast.Assign):
            yield from ((each.id, node.value) for each in node.targets if isinstance(each, ast.Name))


def _members(file: Path, enum: str) -> list[str]:
    """Return the values of an enumeration of words."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == enum:
            values = (each.value for each in node.body if isinstance(each, ast.Assign))
            return [str(each.value) for each in values if isinstance(each, ast.Constant)]
    return []
