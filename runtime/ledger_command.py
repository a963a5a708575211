"""The command line that checks ledgers: `fedstack verify`, and `python -m runtime.ledger verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from runtime.cli import run_cli
from runtime.errors import escaped
from runtime.ledger import LedgerError
from runtime.sides import load
from runtime.verify import verdict

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@cli.callback()
def ledgers() -> None:
    """Check the ledgers of a run."""


@cli.command()
def verify(
    a: Annotated[Path, typer.Argument(help="The ledger of a server or of a client.")],
    b: Annotated[Path | None, typer.Argument(help="The other side's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Say that ledgers are whole and agree, or exit with 1 and name the first fault."""
    try:
        sound, told = True, verdict([load(path) for path in (a, b) if path is not None])
    except LedgerError as error:
        sound, told = False, str(error)
    told = escaped(told)  # it may quote the other side's file
    typer.echo(json.dumps({"sound": sound, "what": told}) if as_json else told)
    if not sound:
        raise typer.Exit(1)


def main() -> None:
    """Run the command line."""
    run_cli(cli, lambda line: typer.echo(line, err=True))
