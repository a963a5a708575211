"""The server script: one command that runs a federation to its verdict."""

from __future__ import annotations

import gc
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Final, Union

import typer
from pydantic_core import PydanticUndefined

from runtime.cli import only_json, run_cli
from runtime.contract import FEDERATION_FILE, ExitCode, FedstackError
from runtime.flower_app import BUILT_IN_APP, BUNDLED_APP, FlowerApp
from runtime.ledger import Ledger
from runtime.server import roster
from runtime.server.command.report import SUMMARY
from runtime.server.engines.flower import run_on_simulation, run_on_superlink
from runtime.server.engines.link import run_on_link
from runtime.server.installed import stale
from runtime.server.model import tracking
from runtime.server.model.afterwards import put_to_use
from runtime.server.notebook import buckets
from runtime.server.notebook.address import check_address
from runtime.server.notebook.place import ServerNotebook
from runtime.server.run import lock
from runtime.server.run.folder import check_folder
from runtime.server.settings import AppSettings, Engine, PlatformSettings, parse_app
from runtime.tabular.server import server_app
from runtime.tabular.server.settings import RunSettings, parse

ENGINES: Final[Mapping[Engine, Callable[[PlatformSettings, Path], None]]] = {
    Engine.LINK: run_on_link,
    Engine.SUPERLINK: run_on_superlink,
    Engine.SIMULATION: run_on_simulation,
}
"""Each runs one federation to its report, given the settings and the file they stand in."""

FROM_ROSTER = {"name", "clients"}
SEVERAL_TIMES = {"strategy_options": "--strategy-option", "run_config": "--run-config"}
Command = Callable[..., None]

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


def options_of_settings(command: Command) -> Command:
    """Give a command one option per setting, with the settings' own types, defaults and descriptions.

    An option that is not given is None, so that the roster's own defaults can stand beneath it.
    """
    file = typer.Option(
        help=f"The roster, a JSON file (default: {FEDERATION_FILE}; on the server's notebook its stack's).",
        show_default=False,
    )
    hints: dict[str, Any] = {"federation": (Annotated[Union[Path, None], file], None)}  # noqa: UP007
    for name, field in {**RunSettings.model_fields, **AppSettings.model_fields}.items():
        if name in FROM_ROSTER or field.default_factory is not None:
            continue
        many = name in SEVERAL_TIMES
        flag = SEVERAL_TIMES.get(name, f"--{name.replace('_', '-')}")
        fallback = (
            "" if field.default in (PydanticUndefined, None) or many else f" (default: {field.default})"
        )
        option = typer.Option(flag, help=f"{field.description}{fallback}", show_default=False)
        kind = list[str] if many else field.annotation
        hints[name] = (Annotated[Union[kind, None], option], None)  # noqa: UP007 - a type in a variable
    mlflow = typer.Option(
        help="An MLflow tracking server that hears of the run when it is over, or sqlite:////absolute/mlflow.db.",
        show_default=False,
    )
    hints["mlflow"] = (Annotated[Union[str, None], mlflow], None)  # noqa: UP007
    as_json = typer.Option("--json", help="Print what came of it for a program; all else goes to stderr.")
    hints["as_json"] = (Annotated[Union[bool, None], as_json], None)  # noqa: UP007
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in hints.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {name: hint for name, (hint, _) in hints.items()}
    return command


@cli.command()
@options_of_settings
def main(federation: Path | None, **given: Any) -> None:
    """Run one federation: wait for the clients, train, evaluate on the test set, save the model."""
    as_json, mlflow = given.pop("as_json"), given.pop("mlflow")
    said = {name: value for name, value in given.items() if value not in (None, [])}
    notebook = ServerNotebook.here()
    with notebook.busy() if notebook else nullcontext():
        roster_file = federation or (notebook.roster if notebook else Path(FEDERATION_FILE))
        settings = read_settings(roster_file, said, notebook)
        check(settings)
        if mlflow is not None:
            tracking.check(mlflow)
        for line in stale(roster_file.parent):
            print(f"warning: {line}", file=sys.stderr, flush=True)  # noqa: T201
        settings.out.mkdir(parents=True, exist_ok=True)
        with only_json(bool(as_json)) as stdout, lock.held(settings.out, settings.run_id):
            try:
                report = _run(settings, notebook)
            except FedstackError:
                if failed := buckets.report_of(settings):
                    put_to_use(settings.out, failed, registers=False, mlflow=mlflow, say=print)
                raise
            registers = notebook is not None
            done = put_to_use(settings.out, report, registers=registers, mlflow=mlflow, say=print)
            if as_json:
                told = {name: report[name] for name in SUMMARY if name in report}
                print(json.dumps({**told, **done}), file=stdout)
    raise typer.Exit(report["code"])


def _run(settings: PlatformSettings, notebook: ServerNotebook | None) -> dict[str, Any]:
    """Run to the verdict, and keep what it leaves where the notebook's stack says; return the report."""
    file = settings.out / "settings.json"
    file.write_text(settings.model_dump_json(indent=1) + "\n")
    gc.freeze()  # Flower's strategies collect garbage for every reply: what is loaded is none
    with buckets.results_kept(settings, notebook.results, print) if notebook else nullcontext():
        ENGINES[settings.engine](settings, file.absolute())
    report: dict[str, Any] = json.loads((settings.out / "report.json").read_text())
    return report


def read_settings(
    federation: Path, said: dict[str, Any], notebook: ServerNotebook | None = None
) -> PlatformSettings:
    """Return the run's settings: the notebook's defaults, the roster's own, what the command line says."""
    known = roster.read(federation)
    if BUNDLED_APP.is_dir():
        said = {"app": BUNDLED_APP, **said}
    built_in = Path({**known, **said}.get("app", BUILT_IN_APP)).absolute() == BUILT_IN_APP
    if notebook is not None:
        known = {**notebook.defaults({**known, **said}, needs_test_data=built_in), **known}
    if built_in:
        return parse({name: value for name, value in {**known, **said}.items() if name != "app"})
    # The roster's defaults are those of the built-in app; what another one shares with it holds for both.
    return parse_app({k: v for k, v in known.items() if k in AppSettings.model_fields} | said)


def check(settings: PlatformSettings) -> None:
    """Find what would end the run later, before any client is waited for."""
    check_address(settings)
    check_folder(settings.out)
    if (settings.out / "ledger.jsonl").exists():
        Ledger(settings.out / "ledger.jsonl")  # what is there already is continued, and must be whole
    if isinstance(settings, AppSettings):
        app = FlowerApp.read(settings.app)
        _check_memory(app, len(settings.clients))
        app.load_server_app()
    else:
        assert isinstance(settings, RunSettings)  # noqa: S101 - there are two kinds
        server_app.check(settings)


def _check_memory(app: FlowerApp, clients: int) -> None:
    """Find answers that cannot be held here, before any client's job is paid for."""
    if app.largest_reply is None:
        return
    needed, there = app.largest_reply * clients, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{app.name} declares answers of up to {app.largest_reply / 1e6:,.0f} MB; {clients} of them at "
            f"once are {needed / 1e9:,.1f} GB, and this machine has {there / 1e9:,.1f}.",
            "Lower largest-reply-mb in its pyproject.toml, or run the server on a larger machine.",
        )


if __name__ == "__main__":
    run_cli(cli, lambda line: print(line, file=sys.stderr))  # noqa: T201
