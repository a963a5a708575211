"""The command line that checks ledgers: `python -m runtime.ledger verify`."""

from __future__ import annotations

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
) -> None:
    """Say that ledgers are whole and agree, or exit with 1 and name the first fault."""
    try:
        typer.echo(escaped(verdict([load(path) for path in (a, b) if path is not None])))
    except LedgerError as error:
        typer.echo(escaped(str(error)))  # which may quote the other side's file
        raise typer.Exit(1) from error


def main() -> None:
    """Run the command line."""
    run_cli(cli, lambda line: typer.echo(line, err=True))
