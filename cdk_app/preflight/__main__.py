"""The command line of the preflight."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import boto3
import typer
from rich.console import Console

from cdk_app.bundles import BUNDLES
from cdk_app.config.load import Federation, load
from cdk_app.config.models import ClientAccount
from cdk_app.preflight.account import Account
from cdk_app.preflight.side import Side
from cdk_app.preflight.table import findings
from runtime.cli import run_cli
from runtime.contract import ExitCode, FedstackError
from runtime.server.preflight.caller import who
from runtime.server.preflight.findings import exit_code
from runtime.server.preflight.show import as_json, shown, summary

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


class Sides(StrEnum):
    """Whose credentials are used."""

    SERVER = "server"
    CLIENT = "client"


@cli.command()
def main(
    side: Annotated[Sides, typer.Option(help="Whose credentials these are: the server's, or a client's.")],
    name: Annotated[str, typer.Argument(help="Which client.", show_default=False)] = "",
    federation: Annotated[Path, typer.Option(help="The federation file.")] = Path("federation.yaml"),
    assembly: Annotated[Path, typer.Option(help="Where `make synth` writes.")] = Path("cdk.out"),
    bundles: Annotated[Path, typer.Option(help="Where `make bundle` writes.")] = BUNDLES,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at what a run needs in one account, with its own credentials, and change nothing."""
    started = time.monotonic()
    chosen = load(federation)
    client = _client(chosen, side, name)
    place = client or chosen.server
    session = boto3.Session()
    caller = who(session, place.region)
    account = Account(session, place.account, place.region)
    console = Console(highlight=False, stderr=json)
    console.print(f"{chosen.name}, {side} {name}".rstrip() + f": {place.account} in {place.region}")
    subject = Side(chosen, client, account, caller, assembly, bundles)
    found = shown(findings(subject), console)
    seconds = time.monotonic() - started
    console.print(summary(found, seconds), soft_wrap=True)
    if json:
        about = {"federation": chosen.name, "side": side.value, "name": name, "caller": caller.arn}
        typer.echo(as_json(found, seconds, **about))
    raise typer.Exit(int(exit_code(found)))


def _client(federation: Federation, side: Sides, name: str) -> ClientAccount | None:
    if side is Sides.SERVER:
        if name:
            raise FedstackError(
                ExitCode.CONFIG, f"--side server has no name, and got {name!r}.", "Leave it out."
            )
        return None
    found = next((client for client in federation.clients if client.name == name), None)
    if found is None:
        known = ", ".join(client.name for client in federation.clients)
        raise FedstackError(ExitCode.CONFIG, f"There is no client {name!r}.", f"Name one of {known}.")
    return found


if __name__ == "__main__":
    run_cli(cli, lambda line: typer.echo(line, err=True))
