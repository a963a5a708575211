"""`fedstack accept NAME`: let one client in by PrivateLink."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import boto3
import typer
from botocore.exceptions import BotoCoreError, ClientError

from cdk_app.config.load import Federation, load
from cdk_app.connections import accepted
from fedstack.options import FederationFile
from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable


def accept(
    name: Annotated[str, typer.Argument(help="The client, as the federation file names it.")],
    federation: FederationFile = Path("federation.yaml"),
) -> None:
    """Accept a client's connection to the server's endpoint service, as the server's operator."""
    chosen = load(federation)
    session = boto3.Session(region_name=chosen.server.region)
    try:
        _check_caller(session, chosen)
        typer.echo(accepted(session.client("ec2"), session.client("cloudformation"), chosen, name))
    except (ClientError, BotoCoreError) as error:
        raise FedstackError(
            ExitCode.IDENTITY,
            f"AWS refused: {printable(error)}.",
            f"Use credentials of the server's account, {chosen.server.account} (AWS_PROFILE).",
        ) from error


def _check_caller(session: boto3.Session, federation: Federation) -> None:
    account = session.client("sts").get_caller_identity()["Account"]
    if account != federation.server.account:
        raise FedstackError(
            ExitCode.IDENTITY,
            f"These credentials are of account {account}; the server's is {federation.server.account}.",
            "Choose the profile of that account (AWS_PROFILE).",
        )
