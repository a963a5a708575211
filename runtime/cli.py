"""How every command line ends: one line that says what and what to do, and an exit code that means it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

import click

from runtime.command_line import stop
from runtime.command_line.near import near
from runtime.contract import ExitCode, FedstackError
from runtime.errors import full_in, unwritable

A_PERSONS: Final = (
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTEMPTY),
)
"""What a file system says of a path that a person named."""


def run_cli(cli: Callable[..., Any], on_failure: Callable[[str], None], **more: Any) -> None:
    """Run a command line to its exit code.

    Parameters
    ----------
    cli
        A Typer, or a command of click's.
    on_failure
        Told the line that names the failure: `fedstack-error <code> <NAME>: <what> <remedy>`.
    more
        What else the command line is called with.
    """
    if not more.pop("lazy", False):
        stop.in_order()  # a stop is a stop, whoever asks for it
    try:
        code = cli(standalone_mode=False, **more)  # what typer.Exit carries; typer turns Ctrl-C into 130
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.INTERRUPTED
    except Exception as error:
        if (failure := explained(error)) is None:
            raise
        on_failure(line_of(failure))
        code = failure.code
    if code == ExitCode.INTERRUPTED and (line := stop.line()):
        on_failure(line)
    sys.exit(int(code or ExitCode.OK))


def explained(error: BaseException) -> FedstackError | None:
    """Return what a person is told of an error that a person or a disk made; None for a fault of ours."""
    if isinstance(error, FedstackError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if (full := full_in(error)) is not None:
        return unwritable(full)
    if isinstance(error, RecursionError):
        what = "What was read is nested more deeply than can be read."
        return FedstackError(ExitCode.CONFIG, what, "Give a file as the command or the run wrote it.")
    if isinstance(error, OSError) and error.filename and error.errno in A_PERSONS:
        return FedstackError(
            ExitCode.CONFIG, f"{error.filename}: {error.strerror}.", "Name one that can be used."
        )
    return None


def line_of(error: FedstackError) -> str:
    """Return the line that names a failure."""
    return f"fedstack-error {int(error.code)} {error.code.name}: {error.what} {error.remedy}".strip()


def _usage(error: click.ClickException) -> FedstackError:
    """Say what of a command line cannot be understood, and what may have been meant."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.message)  # the help, unless it has shown itself
        return FedstackError(ExitCode.CONFIG, "No command was given.", "Name one of these.")
    what = " ".join(error.format_message().split())
    what += "" if what.endswith((".", "?")) else "."
    context = getattr(error, "ctx", None)
    choices = getattr(getattr(getattr(error, "param", None), "type", None), "choices", ())
    words = what.split("'")
    if isinstance(error, click.BadParameter) and choices and len(words) > 3:
        given = words[3]  # Invalid value for '--split': 'fature' is not one of ...
        hint = near(given, [str(getattr(choice, "value", choice)) for choice in choices])
        what += f" {hint}" if hint.startswith("Did") else ""
    remedy = f"See `{context.command_path} --help`." if context is not None else "See --help."
    return FedstackError(ExitCode.CONFIG, what, remedy)


@contextmanager
def only_json(wanted: bool) -> Iterator[TextIO]:
    """Send all that is printed for people to stderr, children's too; yield where the JSON goes.

    Parameters
    ----------
    wanted
        False leaves stdout as it is.
    """
    if not wanted:
        yield sys.stdout
        return
    sys.stdout.flush()
    own, sys.stdout, kept = sys.stdout, sys.stderr, os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as stdout:
            yield stdout
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        sys.stdout = own
