"""The command line for a model after its run: `python -m runtime.model register|predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.contract import ExitCode, FedstackError
from runtime.model.clients import own_clients
from runtime.model.place import bucket_of, installed
from runtime.model.vouched import Vouched, vouch

if TYPE_CHECKING:
    from runtime.model.registry import Registered

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_show_locals=False)

Ledger = Annotated[
    Path | None, typer.Option(help="The ledger of the account's own run; beside the model by default.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@cli.callback()
def models() -> None:
    """Put a run's model to use, once the account's own ledger vouches for it."""


@cli.command()
def register(
    model: Annotated[Path, typer.Argument(help="The run's folder, or its model.joblib.")],
    bucket: Annotated[
        str | None,
        typer.Option(help="The bucket to serve it from (default: the notebook's, or the stack's)."),
    ] = None,
    ledger: Ledger = None,
    federation: Annotated[
        str | None, typer.Option(help="The federation's name; a server's ledger and a notebook have it.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The Region; this process's own by default.")] = None,
    as_json: Json = False,
) -> None:
    """Register a model in this account's SageMaker Model Registry, awaiting approval."""
    found = register_model(vouch(model, ledger), bucket=bucket, federation=federation, region=region)
    done = {"model_package": found.arn, "model_data": found.place, "model_sha256": found.sha256}
    how = "was registered before" if found.again else "is registered and awaits approval"
    show({**done, "again": found.again}, f"{found.arn} {how}.", as_json)


def register_model(
    vouched: Vouched, *, bucket: str | None = None, federation: str | None = None, region: str | None = None
) -> Registered:
    """Register a model where this account's notebook or stack says, unless it is told otherwise."""
    from runtime.model import registry

    told = installed()
    name = federation or told.get("federation") or _federation(vouched)
    clients = own_clients(region or told.get("region"))
    place = bucket or bucket_of(vouched, name, clients)
    return registry.register(vouched, federation=name, bucket=place, clients=clients)


@cli.command()
def predict(
    rows: Annotated[Path, typer.Argument(help="A CSV of the model's columns.")],
    model: Annotated[Path, typer.Option(help="The run's folder, or its model.joblib.")],
    out: Annotated[Path, typer.Option(help="Where the scores go, one line per row.")],
    ledger: Ledger = None,
    as_json: Json = False,
) -> None:
    """Score the rows of a CSV file with a model that the ledger vouches for."""
    from runtime.model.scores import score_file

    vouched = vouch(model, ledger)
    count = score_file(rows, vouched.load(), out)
    told = {"rows": count, "scores": str(out), "model_sha256": vouched.sha256}
    show(told, f"{count:,} scores of {vouched.run_id}'s model are in {out}.", as_json)


def show(told: dict[str, Any], sentence: str, as_json: bool) -> None:
    """Print a result for a person, or for a program."""
    typer.echo(json.dumps(told) if as_json else sentence)


def _federation(vouched: Vouched) -> str:
    if vouched.is_client:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The ledger of {vouched.side} does not say which federation the run was of.",
            "Name it with --federation, as federation.yaml does.",
        )
    return str(vouched.started["settings"]["name"])
