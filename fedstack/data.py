"""`fedstack data`: what a client's owner does with a table before it is trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from fedstack.options import AsJson
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.check import check as check_table
from runtime.tabular.data.describe import describe as describe_table
from runtime.tabular.data.remarks import remarks
from runtime.tabular.data.schema import SCHEMA_FILE

FOLDER: Final = "train/"
"""Where in its bucket a client's job reads its silo."""

cli = typer.Typer(no_args_is_help=True)
Table = Annotated[Path, typer.Argument(help="A CSV file with a header.", show_default=False)]


@cli.callback()
def data() -> None:
    """Describe, check and upload a client's data."""


@cli.command()
def describe(
    file: Table,
    write: Annotated[
        bool, typer.Option("--write", help=f"Write it as {SCHEMA_FILE} beside the file, to be edited.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what the columns of a table seem to be, as a schema.json for a person to edit."""
    found = describe_table(_readable(file))
    described = json.dumps(found, indent=1)
    if not write:
        typer.echo(described)
        _tell(file, found)
        return
    place = file.parent / SCHEMA_FILE
    if place.exists():
        raise FedstackError(
            ExitCode.CONFIG, f"{place} is there already.", "Edit it, or remove it to write another one."
        )
    try:
        place.write_text(f"{described}\n", encoding="utf-8")
    except OSError:  # half of it would be no schema, and in the way of the next one
        place.unlink(missing_ok=True)
        raise
    _tell(file, found)
    typer.echo(
        json.dumps({"schema": str(place)}) if as_json else f"{place}: look at every line, then edit it."
    )


def _tell(file: Path, described: dict[str, Any]) -> None:
    """Say on stderr what to look at: stdout is the schema's, or a program's."""
    for remark in remarks(file, described):
        typer.echo(f"  {remark}", err=True)


@cli.command()
def check(file: Table, as_json: AsJson = False) -> None:
    """Say what is wrong with schema and rows, by column and count; no value is printed."""
    found = check_table(_readable(file))
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        typer.echo(f"{file}: {found.rows:,} rows, {found.columns} columns, schema {found.schema!r}")
        for fault in found.faults:
            typer.echo(f"  {fault}")
        typer.echo("  nothing is wrong" if not found.faults else "")
    raise typer.Exit(int(ExitCode.DATA if found.faults else ExitCode.OK))


@cli.command()
def upload(
    file: Annotated[Path, typer.Argument(help="A CSV file, or a folder of files.", show_default=False)],
    client: Annotated[str, typer.Option(help="Whose data bucket it goes to.", show_default=False)],
    federation: Annotated[Path, typer.Option(help="The federation file.")] = Path("federation.yaml"),
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Data of an app of your own: do not look at its rows.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a client's data, and the schema beside it, into its bucket, with that account's credentials."""
    from fedstack.upload import send

    if not unchecked and file.is_file() and (faults := check_table(_readable(file)).faults):
        raise FedstackError(
            ExitCode.DATA,
            f"{file} cannot be trained on: {'; '.join(map(str, faults[:3]))}.",
            "See all of it with `fedstack data check`; --unchecked is for data of an app of your own.",
        )
    sent = send(file, client, federation)
    if as_json:
        typer.echo(json.dumps({"client": client, "objects": sent}))
        return
    for place in sent:
        typer.echo(place)


def _readable(file: Path) -> Path:
    if not file.is_file():
        there = "is a device or a pipe, and no file" if file.exists() else "does not exist"
        what = "is a folder" if file.is_dir() else there
        raise FedstackError(ExitCode.DATA, f"{file} {what}.", "Give a readable CSV file.")
    return file
