"""`make demo`: the journey of a federation on AWS, on this machine, from bare accounts to bare accounts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from cdk_app.bundles import load_bundles
from rehearsal import baselines, federation, local
from rehearsal.aws.client import Rehearsed
from rehearsal.aws.training.environments import install
from rehearsal.data import Silos, cut
from rehearsal.deployment import synthesise
from rehearsal.journey import Journey, interrupt
from rehearsal.processes import Processes
from runtime.cli import run_cli
from runtime.contract import ExitCode, FedstackError
from runtime.server.settings import Engine
from runtime.task.silos import Split

JOIN_SECONDS: Final = "300"
MOST_ACCOUNTS: Final = 200
"""Deploying one takes seconds of a core: beyond so many nobody would wait."""

cli = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
terminal = Console(highlight=False)


@cli.command()
def main(
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("out"),
    data: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of the CMS schema, or of a schema.json beside it; the stand-in without one."
        ),
    ] = None,
    clients: Annotated[int, typer.Option(min=1, help="How many clients; on AWS each is an account.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")] = 10,
    model: Annotated[str, typer.Option(help="The model's name.")] = "logistic",
    strategy: Annotated[str, typer.Option(help="The strategy's name; by default the model's best.")] = "",
    how: Annotated[Split, typer.Option("--split", help="How the silos differ.")] = Split.FEATURE,
    engine: Annotated[
        Engine,
        typer.Option(help="link: on the emulated AWS; Flower's own engines: as processes, without it."),
    ] = Engine.LINK,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the cut and of the clients' splits.")] = 0,
    keep: Annotated[bool, typer.Option(help="Leave everything up, to look around, until Ctrl-C.")] = False,
) -> None:
    """Deploy a federation into emulated accounts, run it, compare it with pooling, and destroy it."""
    if engine is not Engine.LINK:
        local.main(out, data, clients, rounds, model, strategy, how, engine, seed)
        return
    if clients > MOST_ACCOUNTS:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{clients:,} clients were asked for, each an account of the emulated AWS.",
            f"Ask for at most {MOST_ACCOUNTS}, or for virtual ones with ENGINE=simulation.",
        )
    work = local.clear(out).absolute()
    with _phase("install", {}):
        install(load_bundles()["client"].path)
    seconds: dict[str, float] = {}
    with _phase("setup", seconds):
        silos = cut(data, work, clients=clients, how=how, seed=seed)
        local.describe(data, silos, how)
        chosen = federation.write(work / "federation.yaml", clients)
        synthesise(work / "federation.yaml", work / "cdk.out")
    options = ("--model", model, "--strategy", strategy, "--rounds", str(rounds), "--seed", str(seed))
    with Processes() as processes:
        journey = Journey(Rehearsed.start(processes, work / "aws"), chosen, work / "cdk.out")
        code, clean = there_and_back(journey, processes, silos, out, options, seconds, keep=keep)
    if (out / "report.json").exists():
        baselines.add_seconds(out, seconds)
    raise typer.Exit(code or (0 if clean else int(ExitCode.ENGINE)))


def there_and_back(
    journey: Journey,
    processes: Processes,
    silos: Silos,
    out: Path,
    options: tuple[str, ...],
    seconds: dict[str, float],
    *,
    keep: bool,
) -> tuple[int, bool]:
    """Deploy, federate and destroy; what is deployed is destroyed whatever happens, also after Ctrl-C.

    Returns
    -------
    int, bool
        The exit code of the run, and whether the accounts are as they were.
    """
    code = int(ExitCode.INTERRUPTED)
    try:
        with _phase("deploy", seconds):
            journey.deploy()
            journey.bring_data(silos)
        code = _federate(journey, processes, out, options)
        _compare(journey, out, silos, seconds)
        if keep:
            _look_around(journey)
    except KeyboardInterrupt:
        code = int(ExitCode.INTERRUPTED)
        _say("[bold]stopped[/]       what is deployed is destroyed; Ctrl-C once more leaves it")
    finally:
        clean = _destroy(journey, seconds)
    return code, clean


def _federate(journey: Journey, processes: Processes, out: Path, options: tuple[str, ...]) -> int:
    """Run the server script to its end; after Ctrl-C the rest is still taken down."""
    server = journey.start_server(processes, out, (*options, "--join-seconds", JOIN_SECONDS))
    try:
        return server.wait()
    except KeyboardInterrupt:
        interrupt(server)
        return int(ExitCode.INTERRUPTED)


def _compare(journey: Journey, out: Path, silos: Silos, seconds: dict[str, float]) -> None:
    if not (out / "report.json").exists():
        return
    local.compare(out, silos, seconds)
    bucket = journey.bucket(journey.deployment.server, "StorageResults")
    _say(f"  {'results':<11} s3://{bucket}/{journey.keep_results(out)[0].rpartition('/')[0]}/")
    _say(f"  {'accounts':<11} {journey.aws.work}  (log of every cdk command, folder of every job)")


def _destroy(journey: Journey, seconds: dict[str, float]) -> bool:
    """Destroy every stack and say what is left in the accounts."""
    with _phase("destroy", seconds):
        journey.destroy()
        left, kept = journey.residue()
    names = [name for account in kept.values() for name in account]
    _say(f"  {'kept':<11} {len(names)} buckets and keys of data, which their stacks retain; job logs")
    for account, found in kept.items():
        _say(f"  {'':<11} {account}: {', '.join(found)}")
    for account, kinds in left.items():
        for kind, found in kinds.items():
            _say(f"[red]left over[/]   {account} {kind}: {', '.join(found)}")
    _say(f"  {'residue':<11} {'none' if not left else 'see above'}")
    return not left


def _look_around(journey: Journey) -> None:
    """Say how to use the emulated AWS from another terminal, and wait."""
    for names in journey.places():
        keys = journey.aws.environment(journey.aws.administrator(names.account), names.region)
        words = " ".join(f"{name}={value}" for name, value in keys.items())
        _say(f"\n[bold]{names.account}[/] {names.stack}\n  export {words}")
    _say("\nThen, for example: aws stepfunctions list-state-machines. Ctrl-C destroys everything.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        _say("")


@contextmanager
def _phase(name: str, seconds: dict[str, float]) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = round(time.perf_counter() - started, 3)
        _say(f"[bold]{name:<12}[/] {seconds[name]:.1f} s")


def _say(text: str) -> None:
    terminal.print(text, soft_wrap=True)


def _report(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    run_cli(cli, _report)
