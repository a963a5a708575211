"""The command line for a model after its run: `python -m runtime.model register|predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from runtime.contract import ExitCode, FedstackError
from runtime.model.vouched import Vouched, vouch

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
        typer.Option(
            help="The bucket that this account's models are served from; the server's notebook has it."
        ),
    ] = None,
    ledger: Ledger = None,
    federation: Annotated[
        str | None, typer.Option(help="The federation's name; a server's ledger and a notebook have it.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The Region; this process's own by default.")] = None,
    as_json: Json = False,
) -> None:
    """Register a model in this account's SageMaker Model Registry, awaiting approval."""
    from runtime.model import registry

    vouched = vouch(model, ledger)
    told = registry.installed()
    name = federation or told.get("federation") or _federation(vouched)
    place = bucket or urlsplit(str(told.get("results", ""))).netloc
    if not place:
        raise FedstackError(
            ExitCode.CONFIG,
            "No bucket is named to serve the model from.",
            "Give --bucket: the server's bucket of results, or a client's of artifacts (docs/model.md).",
        )
    found = registry.register(vouched, federation=name, bucket=place, clients=registry.own_clients(region))
    done = {"model_package": found.arn, "model_data": found.place, "model_sha256": found.sha256}
    how = "was registered before" if found.again else "is registered and awaits approval"
    show({**done, "again": found.again}, f"{found.arn} {how}.", as_json)


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
