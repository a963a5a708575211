"""`fedstack` on the server's notebook: what a run is started, watched, stopped and judged with.

The project's own `fedstack` (a laptop's, CI's) has these commands too, beside those that need the accounts.
"""

from __future__ import annotations

from typing import Final

from runtime.command_line.at_once import at_once

COMMANDS: Final = {
    "run": ("runtime.server.server:cli", "Run a federation as its server, to its verdict."),
    "status": ("runtime.server.command.status:status", "Say how far a run is; --watch goes on looking."),
    "stop": ("runtime.server.command.stop:stop", "Stop a run, and its clients' jobs."),
    "report": ("runtime.server.command.report:report", "Show what came of a run; render its page anew."),
    "verify": ("runtime.ledger_command:verify", "Check a ledger, or a server's and a client's together."),
    "model": ("runtime.server.model.command:cli", "Register a run's model, and predict with it."),
}
NOTEBOOK: Final = {
    "preflight": (
        "runtime.server.preflight.__main__:cli",
        "Look at all that a run needs, before it.",
    ),
    **COMMANDS,
}


def main() -> None:
    """Run the notebook's command line."""
    at_once()
    import typer

    from runtime.cli import run_cli
    from runtime.command_line.lazy import group

    cli = typer.Typer(
        cls=group(NOTEBOOK), no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    cli.callback()(_notebook)
    try:
        run_cli(cli, lambda line: typer.echo(line, err=True), prog_name="fedstack", lazy=True)
    finally:
        at_once()


def _notebook() -> None:
    """Run federations from the server's notebook."""


if __name__ == "__main__":
    main()
