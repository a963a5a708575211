"""Where the figures of a measurement go."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any, Final

from rich.console import Console

console = Console()

END: Final = "<!-- up to here -->"


def machine() -> str:
    """Say what this was measured on."""
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("flwr", "grpcio"))
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {libraries}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def put(tables: str, document: Path, script: str) -> None:
    """Put a script's tables between its two marks in a document, and leave the rest of it as it is."""
    begin = f"<!-- made by {script} -->"
    before, rest = document.read_text(encoding="utf-8").split(begin)
    after = rest.split(END, 1)[1]
    document.write_text(f"{before}{begin}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


def verdict(met: bool) -> str:
    return "[green]met[/]" if met else "[red]NOT met[/]"


def save(figures: dict[str, Any], path: Path | None) -> None:
    """Write the figures beside the table, if asked to."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        console.print(f"figures: {path}")
