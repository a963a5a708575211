"""The server script: one command that runs a federation to its verdict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from runtime.cli import run_cli
from runtime.contract import FEDERATION_FILE, ExitCode, FedstackError
from runtime.server.engines import ENGINES
from runtime.server.settings import RunSettings, parse

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


def _default(name: str) -> Any:
    return RunSettings.model_fields[name].default


@cli.command()
def main(
    test_data: Annotated[Path, typer.Option(help="The server's own test set, a CSV.")],
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("out"),
    federation: Annotated[Path, typer.Option(help="The roster.")] = Path(FEDERATION_FILE),
    engine: Annotated[str, typer.Option(help="link, superlink or simulation.")] = "link",
    strategy: Annotated[str, typer.Option(help="The strategy's name.")] = _default("strategy"),
    rounds: Annotated[int, typer.Option(help="How many rounds to play.")] = _default("rounds"),
    min_clients: Annotated[
        int | None, typer.Option(help="Clients that a round needs; all by default.")
    ] = None,
    iterations: Annotated[int, typer.Option(help="L-BFGS iterations of a client per round.")] = _default(
        "iterations"
    ),
    c: Annotated[float, typer.Option("--c", help="Inverse strength of the L2 penalty.")] = _default("c"),
    class_weight: Annotated[str, typer.Option(help="none or balanced.")] = _default("class_weight"),
    smote: Annotated[bool, typer.Option(help="Balance the training rows of each client with SMOTE.")] = False,
    validation: Annotated[float, typer.Option(help="Share of a silo kept back from training.")] = _default(
        "validation"
    ),
    patience: Annotated[
        int, typer.Option(help="Stop after so many rounds without a better test loss.")
    ] = _default("patience"),
    seed: Annotated[int, typer.Option(help="Seed of the clients' splits.")] = _default("seed"),
    join_seconds: Annotated[float, typer.Option(help="How long to wait for clients.")] = _default(
        "join_seconds"
    ),
    round_seconds: Annotated[float, typer.Option(help="How long to wait for replies.")] = _default(
        "round_seconds"
    ),
    run_seconds: Annotated[float, typer.Option(help="How long the run may take.")] = _default("run_seconds"),
    address: Annotated[str, typer.Option(help="host:port that clients reach this server by.")] = _default(
        "address"
    ),
    silos: Annotated[Path | None, typer.Option(help="Folder of NAME.csv, for --engine simulation.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Run one federation: wait for the clients, train, evaluate on the test set, save the model."""
    given = {name: value for name, value in locals().items() if name != "federation"}
    settings = parse({**given, **_roster(federation)})
    settings.out.mkdir(parents=True, exist_ok=True)
    file = settings.out / "settings.json"
    file.write_text(settings.model_dump_json(indent=1) + "\n")
    ENGINES[settings.engine](settings, file.absolute())
    report = json.loads((settings.out / "report.json").read_text())
    raise typer.Exit(report["code"])


def _roster(path: Path) -> dict[str, Any]:
    """Read the federation's name and clients."""
    try:
        federation = json.loads(path.read_text())
        return {"name": federation["name"], "clients": federation["clients"]}
    except FileNotFoundError:
        what = f"There is no roster at {path}."
    except (ValueError, KeyError, TypeError) as error:
        what = f"The roster at {path} cannot be read: {type(error).__name__}: {error}."
    raise FedstackError(ExitCode.CONFIG, what, 'Give one with --federation: {"name": ..., "clients": [...]}.')


if __name__ == "__main__":
    run_cli(cli, lambda line: print(line, file=sys.stderr))  # noqa: T201
