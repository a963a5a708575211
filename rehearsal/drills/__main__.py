"""python -m rehearsal.drills: run the drills, print a table, and fail if one ended as it must not."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rehearsal.drills import aws_drills, link_drills
from rehearsal.drills.aws_drills import Accounts
from rehearsal.drills.drill import Drill, G, Result, deadline, perform
from rehearsal.drills.link_drills import LinkGround
from runtime.cli import run_cli
from runtime.contract import ExitCode, FedstackError

NAMES: Final = [*(one.name for one in link_drills.DRILLS), *(one.name for one in aws_drills.DRILLS)]

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
terminal = Console(highlight=False, width=None if Console().is_terminal else 200)


@cli.command()
def main(
    out: Annotated[Path, typer.Option(help="Where each drill leaves what it wrote.")] = Path("out/drills"),
    only: Annotated[list[str] | None, typer.Option(help="Run this one; may be given several times.")] = None,
    to_json: Annotated[Path | None, typer.Option("--json", help="Write the table here, too.")] = None,
) -> None:
    """Run named faults for real and hold each against the verdict that it must end with."""
    if unknown := sorted(set(only or ()) - set(NAMES)):
        raise FedstackError(
            ExitCode.CONFIG, f"There is no drill {', '.join(unknown)}.", f"Name one of: {', '.join(NAMES)}."
        )
    chosen = set(only or NAMES)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    results = [*_over_the_link(out.absolute(), chosen), *_in_accounts(out.absolute(), chosen)]
    _show(results)
    if to_json is not None:
        to_json.parent.mkdir(parents=True, exist_ok=True)
        told = {"passed": all(one.passed for one in results), "drills": [one.to_json() for one in results]}
        to_json.write_text(json.dumps(told, indent=1) + "\n")
    raise typer.Exit(0 if all(one.passed for one in results) else 1)


def _over_the_link(out: Path, chosen: set[str]) -> Iterator[Result]:
    for drill in _of(link_drills.DRILLS, chosen):
        folder = out / _folder(drill)
        folder.mkdir()
        yield _performed(drill, LinkGround(folder))


def _in_accounts(out: Path, chosen: set[str]) -> Iterator[Result]:
    """Run the drills that need AWS, all in one deployment."""
    if not (drills := _of(aws_drills.DRILLS, chosen)):
        return
    terminal.print("deploying two accounts and a server's ...")
    with Accounts.deployed(out / "accounts") as accounts:
        for drill in drills:
            yield _performed(drill, accounts.ground(out / _folder(drill)))


def _performed(drill: Drill[G], ground: G) -> Result:
    terminal.print(f"[bold]{drill.name}[/]: {drill.done} ...")
    with closing(ground), deadline(drill.seconds):
        result = perform(drill, ground)
    colour, word = ("green", "as expected") if result.passed else ("red", f"expected {result.expected}")
    terminal.print(f"  [{colour}]{escape(result.got)}[/], {word}, {result.seconds:.1f} s", soft_wrap=True)
    return result


def _of(drills: Sequence[Drill[G]], chosen: set[str]) -> list[Drill[G]]:
    return [drill for drill in drills if drill.name in chosen]


def _folder(drill: Drill[G]) -> str:
    return drill.name.replace(" ", "-").replace(",", "")


def _show(results: Sequence[Result]) -> None:
    table = Table(
        title="fault drills", caption=f"{sum(r.passed for r in results)} of {len(results)} as expected"
    )
    for heading in ("fault", "what was done", "expected", "got", "seconds", "checkpoint", "ledgers"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for one in results:
        got = escape(one.got) if one.passed else f"[red]{escape(one.got)}[/]"
        cells = (one.fault, one.done, one.expected, got, f"{one.seconds:.1f}", one.checkpoint, one.ledgers)
        table.add_row(*cells)
    terminal.print(table)


if __name__ == "__main__":
    run_cli(cli, lambda line: print(line, file=sys.stderr))  # noqa: T201
