"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FederationFile = Annotated[Path, typer.Argument(help="The federation file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it for a program.")]
Account = Annotated[
    str | None, typer.Option(help="One account alone: `server`, a client's name, or an account's id.")
]
