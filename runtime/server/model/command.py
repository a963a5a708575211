"""The server's command line for a model: what every account has, and `track`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runtime.model import command
from runtime.model.command import Json, show

cli = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_show_locals=False, help="Use a run's model."
)
cli.command()(command.register)
cli.command()(command.predict)


@cli.command()
def track(
    out: Annotated[Path, typer.Argument(help="The run's output folder.")],
    uri: Annotated[str, typer.Option(help="An MLflow tracking server, or sqlite:////absolute/mlflow.db.")],
    experiment: Annotated[
        str | None, typer.Option(help="The MLflow experiment; the federation's name by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Log a run that is over to MLflow: settings, metrics, digests and files."""
    from runtime.server.model.tracking import track as log

    run, again = log(out, uri, experiment)
    how = "was logged before" if again else "is logged"
    show({"mlflow_run": run, "uri": uri, "again": again}, f"The run {how} at {uri}, as {run}.", as_json)
