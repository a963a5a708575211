"""The built-in app's ServerApp: one run from the first client that joins to the verdict, on every engine."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Strategy

from runtime.contract import FAR_WORSE, POLICY_REFUSES, ExitCode, FedstackError, Updates
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.server.aggregation.validation import reason_of
from runtime.server.engines.throttled_grid import ThrottledGrid
from runtime.server.report.files import Drafts
from runtime.server.run.lifecycle import Lifecycle
from runtime.server.run.progress import report_of
from runtime.server.settings import Engine
from runtime.tabular import models
from runtime.tabular.operating_point import check_task
from runtime.tabular.report import build
from runtime.tabular.report.console import Console
from runtime.tabular.server import checkpoint, client_gain, prepare, prepare_private
from runtime.tabular.server.rounds import Rounds, fit_config, to_record
from runtime.tabular.server.settings import RunSettings, parse
from runtime.tabular.server.test_set import TestSet
from runtime.tabular.strategies import state as strategy_state
from runtime.tabular.strategies.fednewton import FedNewton, allowed_by_all

FINISH_SECONDS: Final = 60.0

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federation that the settings file describes."""
    logging.getLogger("flwr").setLevel(logging.WARNING)  # the console says it better, once
    settings = parse(json.loads(Path(str(context.run_config["settings"])).read_text()))
    Run(ThrottledGrid(grid) if settings.engine is Engine.SIMULATION else grid, settings).execute()


def check(settings: RunSettings) -> None:
    """Find what would end the run later, before any client is waited for."""
    test = TestSet.load(settings.test_data, settings.model)
    check_task(settings.threshold_for, test.rows.schema.task)
    if settings.resume:
        checkpoint.load(settings.checkpoint, settings.model_dump(mode="json"), test.digest())
    elif settings.checkpoint.exists() and not _finished(settings.out / "report.json"):
        raise FedstackError(
            ExitCode.CONFIG,
            f"{settings.out} holds the checkpoint of a run that did not finish.",
            "Go on from it with --resume, or give another --out, or delete the checkpoint.",
        )


def _finished(report: Path) -> bool:
    return report.exists() and report_of(report.parent)["verdict"] != "FAILED"


WITHHELD: Final = "a client's policy lets no more out"


def _kept_back(error: FedstackError) -> bool:
    """Say whether a round came short because an owner's policy keeps back what would tell of a few rows.

    The model that was asked about is the one to keep then, unless a client says that it is worth nothing.
    """
    return error.code is ExitCode.QUORUM and POLICY_REFUSES in error.what and FAR_WORSE not in error.what


class Run(Lifecycle):
    """Join, prepare, play the rounds, finish: the built-in app."""

    def __init__(self, grid: Grid, settings: RunSettings) -> None:
        self._shown = Console(settings)
        super().__init__(grid, settings, self._shown)
        self._settings = settings
        self._test = TestSet.load(settings.test_data, settings.model)
        self._state: checkpoint.State | None = None
        self._value = client_gain.Value()
        self._aggregation: SecureAggregation | None = None
        self._withheld = ""
        """Why a client's own policy lets no more out than the rounds that were played."""

    def _facts(self) -> dict[str, Any]:
        return {"test_sha256": self._test.digest()}

    def _play(self) -> None:
        self._timed("prepare", self._prepare)
        self._timed("rounds", self._play_rounds)
        self._timed("evaluate", self._finish)

    def _prepare(self) -> None:
        settings = self._settings
        if settings.updates is Updates.SUMS:
            self._aggregation = self._open_sums()
        if settings.resume:
            dump, test = settings.model_dump(mode="json"), self._test.digest()
            self._state, digest = checkpoint.load(settings.checkpoint, dump, test)
            self._note("resumed", after_round=self._state.last_round, checkpoint_sha256=digest)
            for entry in self._state.rounds:
                self._shown.round(entry)
        elif settings.privacy_epsilon is not None:
            self._state = prepare_private.prepare_noise(
                self._grid, settings, self._names, self._test, self._note
            )
        elif self._aggregation is not None:
            self._state = prepare_private.prepare_sums(
                self._aggregation, settings, self._names, self._test, self._note
            )
        else:
            self._state = prepare.prepare(
                self._grid, settings, self._test.rows.schema, self._names, self._note
            )

    def _play_rounds(self) -> None:
        assert self._state is not None  # noqa: S101 - _prepare() comes first
        state, settings = self._state, self._settings
        strategy = settings.make_strategy()
        if isinstance(strategy, FedNewton):
            summed = settings.updates is Updates.SUMS and settings.privacy_epsilon is None
            kind = models.load(settings.model).of(self._test.rows.schema)
            most = math.inf if state.votes is None else allowed_by_all(state.votes, len(state.samples))
            strategy.learn(kind, summed=summed, allowed=most)
        strategy_state.restore(strategy, state.strategy)
        refused, wait = self._note, self._wait_seconds
        rounds = Rounds(
            *(self._grid, settings, strategy, self._test, self._names.of, refused, state, wait),
            aggregation=self._aggregation,
        )
        while not self._ended(strategy, state):
            self._check_deadline()
            try:
                arrays, entry = rounds.play(state.last_round + 1, state.arrays)
            except FedstackError as error:
                self._check_deadline()  # the reason why the round came short
                if not (state.rounds and _kept_back(error)):
                    raise
                state.stopped, self._withheld = WITHHELD, error.what
                self._note("withheld", reason=error.what)
                return
            state.advance(arrays, entry)
            state.strategy = strategy_state.state_of(strategy)
            self._save(state, entry)
            self._shown.round(entry)

    def _save(self, state: checkpoint.State, entry: dict[str, Any]) -> None:
        """Keep the state after a round; the ledger names the file before it takes the last one's place."""

        def announce(digest: str) -> None:
            self._ledger.write("round", **entry, model_sha256=state.digest(), checkpoint_sha256=digest)
            self._ledger.sync()

        dump = self._settings.model_dump(mode="json")
        checkpoint.save(self._settings.checkpoint, state, dump, self._test.digest(), announce)

    def _ended(self, strategy: Strategy, state: checkpoint.State) -> bool:
        """Say whether there is nothing left to play, and why."""
        if getattr(strategy, "converged", False):
            state.stopped = "converged"
        elif getattr(strategy, "halted", False):
            state.stopped = "no step lowers the training loss"
        elif why := getattr(strategy, "stopped", None):
            state.stopped = why
        elif state.stalled(self._settings.patience):
            state.stopped = "the test loss stopped improving"
        return bool(state.stopped) or state.last_round >= self._settings.rounds

    def _finish(self) -> None:
        """Let every client score and keep the final model; the run is whole with or without their thanks."""
        assert self._state is not None  # noqa: S101 - _prepare() comes first
        content = RecordDict(
            {
                "arrays": to_record(self._state.final(self._settings.patience)[1]),
                "config": fit_config(self._settings, self._state, self._test.rows.schema),
            }
        )
        nodes = sorted(self._grid.get_node_ids())
        self._measure_value(nodes, content)
        sent = [Message(content, node, "query.finish") for node in nodes]
        for reply in self._grid.send_and_receive(sent, timeout=FINISH_SECONDS):
            if reply.has_error():
                self._note(
                    "finish_failed",
                    client=self._names.of(reply.metadata.src_node_id),
                    reason=reason_of(reply),
                )

    def _measure_value(self, nodes: list[int], content: RecordDict) -> None:
        """Ask what each client gains, for as long as the rounds took together and one may take more."""
        assert self._state is not None  # noqa: S101 - _prepare() comes first
        task = self._test.rows.schema.task
        if missing := WITHHELD if self._withheld else client_gain.why_not(self._settings):
            self._value = client_gain.Value(missing=missing)
            return
        rounds = self._state.rounds
        taken = sum(float(entry["seconds"]) for entry in rounds)
        seconds = min(self._settings.round_seconds + taken, max(0.0, self._deadline - time.monotonic()))
        if self._aggregation is not None:
            self._value = client_gain.ask_for_sum(self._aggregation, content, len(rounds), task)
            return
        found = client_gain.ask(self._grid, nodes, content, len(rounds), seconds, task, self._no_value)
        self._value = client_gain.Value({self._names.of(node): told for node, told in found.items()}, None)

    def _no_value(self, node: int, reason: str) -> None:
        self._note("value_refused", client=self._names.of(node), reason=reason)

    def _report(self, error: BaseException | None) -> dict[str, Any]:
        return build.build(
            *(self._settings, self._state, self._test, self._seconds, error, self._value),
            aside=self._aside,
            withheld=self._withheld,
        )

    def _write(self, report: dict[str, Any], drafts: Drafts) -> Mapping[str, Path]:
        return build.write(report, self._settings, self._state, self._test, drafts)
