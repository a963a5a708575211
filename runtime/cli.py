"""How both command lines end: one line that says what and what to do, and an exit code that means it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import click
import typer

from runtime.contract import ExitCode, FedstackError
from runtime.errors import is_full, unwritable


def run_cli(cli: typer.Typer, on_failure: Callable[[str], None]) -> None:
    """Run a command line to its exit code.

    Parameters
    ----------
    on_failure
        Told the line that names the failure: `fedstack-error <code> <NAME>: <what> <remedy>`.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop is a stop, whoever asks for it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = cli(standalone_mode=False)  # what typer.Exit carries; typer turns KeyboardInterrupt into 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.INTERRUPTED
    except OSError as error:
        if not is_full(error):
            raise
        full = unwritable(error)
        on_failure(_line(full.code, str(full)))
        code = full.code
    except FedstackError as error:
        on_failure(_line(error.code, f"{error.what} {error.remedy}"))
        code = error.code
    if code == ExitCode.INTERRUPTED:
        on_failure(_line(ExitCode.INTERRUPTED, "Stopped from outside. Start it again to go on."))
    sys.exit(int(code or ExitCode.OK))


def _line(code: ExitCode, text: str) -> str:
    return f"fedstack-error {int(code)} {code.name}: {text}"
