"""Runs the command line of models: `python -m runtime.model`."""

from __future__ import annotations

import typer

from runtime.cli import run_cli
from runtime.model.command import cli

if __name__ == "__main__":
    run_cli(cli, lambda line: typer.echo(line, err=True))
