"""`make demo`: the journey of a federation on AWS, on this machine, from bare accounts to bare accounts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from cdk_app import node
from cdk_app.bundles import BUNDLES, build_all, role_for
from cdk_app.images import DEFAULT
from rehearsal import app_needs, baselines, checks, federation, local
from rehearsal.aws.client import Rehearsed
from rehearsal.aws.training.environments import install
from rehearsal.data import Parts, Silos
from rehearsal.deployment import synthesise
from rehearsal.journey import Journey, interrupt
from rehearsal.options import RehearsalOptions
from rehearsal.processes import Processes
from runtime.command_line import stop
from runtime.contract import ExitCode
from runtime.flower_app import FlowerApp
from runtime.server.settings import Engine

JOIN_SECONDS: Final = "300"

terminal = Console(highlight=False)


def rehearse(asked: RehearsalOptions) -> None:
    """Deploy a federation into emulated accounts, run it, compare it with pooling, and destroy it."""
    checks.check(asked, accounts=asked.engine is Engine.LINK)
    _prepare_app(asked)
    if asked.engine is not Engine.LINK:  # Flower's own run as processes, without AWS
        local.rehearse(asked)
    app = None if asked.app is None else FlowerApp.read(asked.app)
    if app is not None:
        checks.check_components(app)
    out, work = asked.out, local.clear(asked.out).absolute()
    image = asked.image or (DEFAULT if app is None else app_needs.image_of(app))
    with _phase("install", {}):
        node.ensure()
        bundles = BUNDLES if app is None else work / "bundles"
        has = {} if app is None else app_needs.installed()
        built = build_all(app, bundles, [image], server_has=has)
        install(built[role_for(image)].path, image)
    seconds: dict[str, float] = {}
    with _phase("setup", seconds):
        silos = local.data_for(asked, work)
        chosen = federation.write(
            work / "federation.yaml", asked.clients, privacy=asked.policy(), app=asked.app, image=image
        )
        synthesise(work / "federation.yaml", work / "cdk.out", bundles)
    with Processes() as processes:
        journey = Journey(Rehearsed.start(processes, work / "aws"), chosen, work / "cdk.out")
        code, clean = there_and_back(journey, processes, silos, out, asked.server(), seconds, keep=asked.keep)
    if (out / "report.json").exists():
        baselines.add_seconds(out, seconds)
    raise typer.Exit(code or (0 if clean else int(ExitCode.ENGINE)))


def _prepare_app(asked: RehearsalOptions) -> None:
    """Install what an app needs and is not here; say what that was."""
    if asked.app is not None and (fresh := app_needs.install(FlowerApp.read(asked.app))):
        _say(f"[bold]{'app':<12}[/] installed in this environment: {', '.join(fresh)}")


def there_and_back(
    journey: Journey,
    processes: Processes,
    silos: Silos | Parts,
    out: Path,
    server_options: tuple[str, ...],
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
        code = _federate(journey, processes, out, server_options)
        _show(journey, out, silos, seconds)
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
        if interrupt(server) == ExitCode.INTERRUPTED:
            stop.told_by_a_child()
        return int(ExitCode.INTERRUPTED)


def _show(journey: Journey, out: Path, silos: Silos | Parts, seconds: dict[str, float]) -> None:
    """Compare a model of the built-in app with pooling, and say where everything is."""
    if not (out / "report.json").exists():
        return
    if isinstance(silos, Silos) and "app" not in json.loads((out / "report.json").read_text()):
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
