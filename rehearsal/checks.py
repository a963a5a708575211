"""Everything that can be wrong with what is asked of a rehearsal, found before anything is made."""

from __future__ import annotations

import importlib.util
from typing import Final

from cdk_app.images import check_image
from rehearsal.data import divide, hand_out
from rehearsal.options import RehearsalOptions
from runtime.command_line.near import near
from runtime.contract import MAX_COHORT_OPTIONS, ExitCode, FedstackError
from runtime.flower_app import FlowerApp
from runtime.server.run.folder import check_folder
from runtime.server.settings import Engine
from runtime.tabular import models
from runtime.tabular.operating_point import check_task

MOST_ACCOUNTS: Final = 200
"""Deploying one takes seconds of a core: beyond so many nobody would wait."""
WORK: Final = "rehearsal"
"""The folder in the output folder that a rehearsal writes into, and that the next one clears."""


def check(asked: RehearsalOptions, *, accounts: bool) -> None:
    """Look at options, output folder, app and data; nothing is written.

    Parameters
    ----------
    accounts
        Whether each client is to be an account of the emulated AWS.

    Raises
    ------
    FedstackError
        With ExitCode.CONFIG or ExitCode.DATA.
    """
    if asked.app is not None:
        FlowerApp.read(asked.app)
    elif asked.model and asked.model not in models.names():
        raise FedstackError(
            ExitCode.CONFIG, f"There is no model {asked.model!r}.", near(asked.model, models.names())
        )
    if asked.run_config and asked.app is None:
        raise FedstackError(
            ExitCode.CONFIG,
            f"--run-config {asked.run_config[0]} was given, and the built-in app has no run config.",
            "Leave it out, or name an app with --app.",
        )
    if asked.app is not None:
        _check_dropped(asked)
    if asked.image is not None:
        check_image(asked.image)
    asked.check()
    if accounts:
        _check_accounts(asked)
    elif asked.keep:
        raise FedstackError(
            ExitCode.CONFIG, "There are no accounts to leave up without AWS.", "Leave out KEEP, or ENGINE."
        )
    if asked.engine is Engine.SIMULATION and importlib.util.find_spec("ray") is None:
        raise FedstackError(
            ExitCode.CONFIG,
            "The simulation engine needs ray, which is not installed.",
            "Install the extra that has it: pip install '.[simulation]' in the project's folder.",
        )
    check_folder(asked.out, (WORK,))
    _check_data(asked)


def _check_dropped(asked: RehearsalOptions) -> None:
    """Refuse what only the built-in app has a use for."""
    said = {"model": asked.model, "strategy": asked.strategy, "rounds": asked.rounds}
    if given := [f"--{name}" for name, value in said.items() if value]:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{', '.join(given)} was given with --app, and is the built-in app's.",
            "Leave it out: an app says such things in its run config (--run-config).",
        )


def check_components(app: FlowerApp) -> None:
    """Import both sides of an app, whose requirements are installed by then."""
    app.load_server_app()
    app.load_client_app()


def _check_accounts(asked: RehearsalOptions) -> None:
    if asked.clients > MOST_ACCOUNTS:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{asked.clients:,} clients were asked for, each an account of the emulated AWS.",
            f"Ask for at most {MOST_ACCOUNTS}, or for virtual ones with ENGINE=simulation.",
        )
    if asked.sums() and asked.clients > MAX_COHORT_OPTIONS + 1:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{asked.clients:,} clients are to be summed; a job can be told {MAX_COHORT_OPTIONS} others.",
            f"Ask for at most {MAX_COHORT_OPTIONS + 1} clients, or for UPDATES=plain.",
        )


def _check_data(asked: RehearsalOptions) -> None:
    """Read and cut the data once as they will be; the stand-in is made to fit."""
    if asked.data is None:
        return
    if asked.data.is_dir():
        if asked.app is None:
            raise FedstackError(
                ExitCode.DATA,
                f"{asked.data} is a folder.",
                "Give a CSV file; only an app has parts of its own.",
            )
        hand_out(asked.data, asked.clients)
        return
    test, *_ = divide(asked.data, clients=asked.clients, how=asked.split, seed=asked.seed)
    check_task(asked.threshold_for, test.schema.task)
