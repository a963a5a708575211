"""Where the figures of a measurement go."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console

console = Console()


def machine() -> str:
    """Say what this was measured on."""
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("flwr", "grpcio"))
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {libraries}"


def verdict(met: bool) -> str:
    return "[green]met[/]" if met else "[red]NOT met[/]"


def save(figures: dict[str, Any], path: Path | None) -> None:
    """Write the figures beside the table, if asked to."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        console.print(f"figures: {path}")
