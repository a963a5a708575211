"""`python -m runtime.server.preflight`: on the server's notebook, before a run is paid for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import boto3
import typer
from rich.console import Console

from runtime.cli import run_cli
from runtime.contract import FEDERATION_FILE, ExitCode, FedstackError
from runtime.link.versions import versions
from runtime.server import roster
from runtime.server.preflight.caller import Caller, clock, home_region, who
from runtime.server.preflight.findings import Check, Owner, exit_code, run
from runtime.server.preflight.reach import ON_NOTEBOOK, Reach, account_of
from runtime.server.preflight.show import as_json, shown, summary

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@cli.command()
def main(
    federation: Annotated[Path, typer.Option(help="The roster, a JSON file.")] = Path(FEDERATION_FILE),
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Try each client's role, mailbox and broker as a run would, and start nothing."""
    started = time.monotonic()
    known = roster.read(federation)
    session = boto3.Session()
    if session.region_name is None:
        raise FedstackError(
            ExitCode.CONFIG, "There is no default Region.", "Set AWS_DEFAULT_REGION to the server's Region."
        )
    caller = who(session, session.region_name)
    _check_role(caller, roster.notebook_role(federation))
    server = Owner("server", caller.account, is_server=True)
    clients = [roster.Client.model_validate(client) for client in known["clients"]]
    subject = Reach(clients, server, {c.name: Owner(c.name, account_of(c)) for c in clients})
    checks: Sequence[Check[Reach]] = (
        Check("clock", lambda _: clock(caller, server), decides=True),
        Check("region", lambda _: home_region(session, str(session.region_name), server)),
        *ON_NOTEBOOK,
    )
    console = Console(highlight=False, stderr=json)
    here = versions()
    console.print(f"{known['name']}, the server's notebook: {', '.join(f'{k} {v}' for k, v in here.items())}")
    findings = shown(run(checks, subject, server), console)
    seconds = time.monotonic() - started
    console.print(summary(findings, seconds), soft_wrap=True)
    if json:
        typer.echo(
            as_json(
                findings, seconds, federation=known["name"], side="server", caller=caller.arn, versions=here
            )
        )
    raise typer.Exit(int(exit_code(findings)))


def _check_role(caller: Caller, role: str) -> None:
    if caller.arn and f":assumed-role/{role}/" not in caller.arn:
        raise FedstackError(
            ExitCode.CONFIG,
            f"These are credentials of {caller.arn}, and only {role} can try what this tries.",
            "Run it on the server's notebook, with the role of that notebook.",
        )


if __name__ == "__main__":
    run_cli(cli, lambda line: typer.echo(line, err=True))
