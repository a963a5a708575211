"""Where the server's notebook has everything, and where a run writes unless it is told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from runtime.contract import INSTALLED_FILE

HOME: Final = Path(__file__).parents[4]
"""The folder of the bundle that this file is of: on a notebook, where its start script wrote the rest."""


def default_out(home: Path = HOME) -> Path:
    """Return the output folder of runs: one place on the notebook, whatever the folder; elsewhere `out`."""
    return home / "out" if (home / INSTALLED_FILE).exists() else Path("out")


OUT: Final = default_out()
"""What every command takes on this machine."""
