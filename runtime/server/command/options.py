"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="The folder that the run writes into.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it for a program.")]
