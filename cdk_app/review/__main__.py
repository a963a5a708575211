"""The command: `python -m cdk_app.review TEMPLATE [--previous OLD_TEMPLATE] [--json]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cdk_app.review.review import review
from runtime.cli import run_cli
from runtime.contract import ExitCode, FedstackError

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@cli.command()
def main(
    template: Annotated[Path, typer.Argument(help="A client's template, as make synth wrote it.")],
    previous: Annotated[
        Path | None, typer.Option(help="The version deployed before; what changed is told as well.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Tell what the server may do in a client's account, from its template alone; 0 only for PASS."""
    result = review(_read(template), None if previous is None else _read(previous))
    typer.echo(json.dumps(result.as_json(), indent=2) if as_json else result.text)
    raise typer.Exit(ExitCode.OK if result.passed else ExitCode.REVIEW)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FedstackError(
            ExitCode.CONFIG, f"{path}: {error.strerror}.", "Name a template's file."
        ) from None


if __name__ == "__main__":
    run_cli(cli, lambda line: typer.echo(line, err=True))
