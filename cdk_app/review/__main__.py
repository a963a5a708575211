"""The command: `python -m cdk_app.review TEMPLATE ... [--previous OLD_TEMPLATE] [--json]`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from cdk_app.review.review import Review, review
from runtime.cli import run_cli
from runtime.contract import ExitCode, FedstackError
from runtime.parallel import at_once

Outcome = Review | str
"""A review, or what is wrong with a template."""

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@cli.command()
def main(
    templates: Annotated[list[Path], typer.Argument(help="Clients' templates, as make synth wrote them.")],
    previous: Annotated[
        Path | None, typer.Option(help="The version deployed before; what changed is told as well.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Tell what the server may do in a client's account, from its template alone; 0 only for PASS.

    Several templates are reviewed at a time, on all cores, and told in the order in which they are given.
    """
    if previous is not None and len(templates) > 1:
        raise FedstackError(
            ExitCode.CONFIG,
            f"--previous is a version of one template, and {len(templates)} are given.",
            "Review each with its own version before.",
        )
    found = _all_of(list(_outcomes(templates, previous)))
    if as_json:
        told = [result.as_json() for result in found]
        several = [{"template": str(path), **each} for path, each in zip(templates, told, strict=True)]
        typer.echo(json.dumps(told[0] if len(told) == 1 else several, indent=2))
    else:
        headed = [f"{path}\n{result.text}" for path, result in zip(templates, found, strict=True)]
        typer.echo(found[0].text if len(found) == 1 else "\n\n\n".join(headed))
    raise typer.Exit(ExitCode.OK if all(result.passed for result in found) else ExitCode.REVIEW)


def _outcomes(templates: list[Path], previous: Path | None) -> Iterable[Outcome]:
    """Review them: one in this process, more in a process for each core."""
    if len(templates) == 1:
        try:
            return [review(_read(templates[0]), None if previous is None else _read(previous))]
        except FedstackError:  # of either of the two
            return [_outcome(path) for path in (*templates, previous) if path is not None]
    return at_once(_outcome, templates, os.cpu_count() or 1, executor=_processes)


def _processes(most: int) -> Executor:
    """Return processes that leave a stop from outside to the one that began them."""
    return ProcessPoolExecutor(most, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))


def _outcome(path: Path) -> Outcome:
    """Review a template; what is wrong with it is returned, so that the others' reviews are not lost."""
    try:
        return review(_read(path))
    except FedstackError as error:
        said = str(error)
        return said if said.startswith(str(path)) else f"{path}: {said}"


def _all_of(outcomes: list[Outcome]) -> list[Review]:
    """Return the reviews, or say of all templates at once what is wrong with which."""
    if wrong := [outcome for outcome in outcomes if isinstance(outcome, str)]:
        raise FedstackError(ExitCode.CONFIG, "\n".join(wrong), "")
    return [outcome for outcome in outcomes if isinstance(outcome, Review)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FedstackError(
            ExitCode.CONFIG, f"{path}: {error.strerror}.", "Name a template's file."
        ) from None


if __name__ == "__main__":
    run_cli(cli, lambda line: typer.echo(line, err=True))
