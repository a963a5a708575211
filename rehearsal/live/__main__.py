"""`make live`: the first deployment on real AWS, from two profiles to a table; it asks before it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import boto3
import typer
from rich.console import Console

from rehearsal.live.sandbox import Sandbox, account_of
from rehearsal.live.steps import Live, federation_of
from rehearsal.live.table import Table
from runtime.cli import run_cli
from runtime.contract import ExitCode, FedstackError

COST: Final = """This deploys for real, with the rights of both profiles, and destroys what it deployed:
  server  {server} ({server_profile})
  client  {client} ({client_profile})   both in {region}
It runs `cdk bootstrap` in both (an older bootstrap becomes the pinned one), then stacks, one training job
(ml.m5.large) and one notebook (ml.t3.medium). About 1 US dollar for one or two hours at list prices of
eu-west-1; what is left standing costs about 2 a day. Use accounts with nothing else in them."""

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
terminal = Console(highlight=False)


@cli.command()
def main(
    server_profile: Annotated[str, typer.Option(help="The profile of the server's sandbox account.")] = "",
    client_profile: Annotated[str, typer.Option(help="The profile of the client's.")] = "",
    region: Annotated[str, typer.Option(help="Where.")] = "eu-west-1",
    out: Annotated[Path, typer.Option(help="Where the table and the logs are written.")] = Path("out/live"),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it costs.")] = False,
) -> None:
    """Deploy the smallest federation into two sandbox accounts, run it, try what is forbidden, destroy it."""
    accounts = sandbox_accounts(server_profile, client_profile, region)
    server, client = accounts
    told = {"server_profile": server_profile, "client_profile": client_profile, "region": region}
    _say(COST.format(server=server, client=client, **told))
    if not yes and typer.prompt("Type the client's account number to go on") != client:
        raise FedstackError(ExitCode.CONFIG, "That was another number.", "Nothing was deployed.")
    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    profiles = {server: server_profile, client: client_profile}
    federation = federation_of(
        server, client, region, two_zones(server_profile, region), out / "federation.yaml"
    )
    table = Table(_say)
    try:
        Live(Sandbox(profiles, out), federation, out, table, ask_operator=ask_operator).run()
    finally:
        text = table.markdown(f"Region {region}")
        (out / "table.md").write_text(text)
        _say(f"\n{text}\nwritten to {out / 'table.md'}")
    raise typer.Exit(0 if table.passed else int(ExitCode.ENGINE))


def sandbox_accounts(server_profile: str, client_profile: str, region: str) -> tuple[str, str]:
    """Return the two accounts; the same one twice proves nothing about a border between accounts."""
    if not server_profile or not client_profile:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The profiles are {server_profile!r} and {client_profile!r}.",
            "Name two of ~/.aws/config, of sandbox accounts: make live SERVER=one CLIENT=other.",
        )
    server, client = account_of(server_profile, region), account_of(client_profile, region)
    if server == client:
        raise FedstackError(
            ExitCode.CONFIG, f"Both profiles are of account {server}.", "Use two sandbox accounts."
        )
    return server, client


def two_zones(profile: str, region: str) -> tuple[str, str]:
    """Return two zones that the Region has."""
    ec2 = boto3.Session(profile_name=profile, region_name=region).client("ec2")
    first, second, *_ = sorted(
        zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]
    )
    return first, second


def ask_operator(command: str) -> None:
    """Ask for the one thing that nobody can do from outside: start the server on its notebook."""
    _say(
        "\nNow open JupyterLab of the notebook live-server (the server's account, SageMaker). Wait until\n"
        "`cat fedstack/STATUS` in a terminal says ready, and paste there, in ~/SageMaker:\n\n"
        f"  {command}\n\nThis waits until the result is there.\n"
    )


def _say(text: str) -> None:
    terminal.print(text, soft_wrap=True, markup=False)


if __name__ == "__main__":
    run_cli(cli, _say)
