"""`fedstack` on the server's notebook."""

from __future__ import annotations

import sys

import typer

from runtime.cli import run_cli
from runtime.server import server

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
cli.command("run")(server.main)
cli.callback()(lambda: None)  # so that `run` is said

if __name__ == "__main__":
    run_cli(cli, lambda line: print(line, file=sys.stderr))  # noqa: T201
