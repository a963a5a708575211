"""What every run does, whatever app it is of: from the first client that joins to the verdict.

Whatever happens, a run leaves a report, a ledger and a reason.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from runtime.command_line import stop
from runtime.contract import ExitCode, FedstackError
from runtime.errors import is_full, printable, unwritable
from runtime.ledger import Ledger, of_model
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.server.report.console import RunConsole
from runtime.server.report.files import MODEL, REPORT, Drafts, finite_only, software_versions
from runtime.server.run import join
from runtime.server.settings import PlatformSettings


class Lifecycle(ABC):
    """One run over a grid; what it consists of is the subclass's.

    Parameters
    ----------
    grid
        What carries the messages: the link, or one of Flower's own engines.
    """

    def __init__(self, grid: Grid, settings: PlatformSettings, console: RunConsole) -> None:
        self._grid, self._common, self._console = grid, settings, console
        self._ledger = Ledger(settings.out / "ledger.jsonl")
        self._names = join.Names(settings.roster)
        self._seconds: dict[str, float] = {}
        self._aside: dict[str, str] = {}
        """Clients that let a whole round wait and have not spoken since, each with how."""
        self._concluded = False
        """Whether the ledger has its verdict."""
        self._deadline = time.monotonic() + settings.run_seconds

    def execute(self) -> None:
        """Run to the verdict.

        Raises
        ------
        FedstackError, KeyboardInterrupt
            After the failed run's report is written.
        """
        settings = self._common.model_dump(mode="json")
        self._ledger.write("run", settings=settings, versions=software_versions(), **self._facts())
        # The link tells who comes and goes, and what it carried; Flower's own engines do not.
        if watch := getattr(self._grid, "watch", None):
            watch(self._note)
        try:
            with self._console:
                self._timed("join", lambda: join.join(self._grid, self._common, self._note))
                self._play()
        except (FedstackError, KeyboardInterrupt) as error:
            self._conclude(error)
            raise
        except Exception as error:
            wrapped = unwritable(error) if is_full(error) else _broken(error)
            self._conclude(wrapped)
            raise wrapped from error
        try:
            self._conclude(None)
        except KeyboardInterrupt as stopped:
            if not self._concluded:
                self._conclude(stopped)
            raise

    @abstractmethod
    def _facts(self) -> dict[str, Any]:
        """Return what the ledger says of the run at its start."""

    @abstractmethod
    def _play(self) -> None:
        """Do what the run is for, once the clients are there."""

    @abstractmethod
    def _report(self, error: BaseException | None) -> dict[str, Any]:
        """Return report.json's content; None is a run that ended by itself."""

    @abstractmethod
    def _write(self, report: dict[str, Any], drafts: Drafts) -> Mapping[str, Path]:
        """Draft report, page and model, in this order; return every file of the run by what it is."""

    def _conclude(self, error: BaseException | None) -> None:
        """Write what there is to say, whatever that is, and name every file; the verdict is the last line.

        Everything that takes room is written first, as drafts; then the verdict into the ledger; then the
        drafts are put into place. So no report says what the ledger, and with it the clients, do not.

        Raises
        ------
        FedstackError
            When a run that went well cannot be written down: it has failed then.
        """
        self._settle()
        report, unwritten, drafts = self._report(error), None, Drafts()
        try:
            files = self._write(report, drafts)
            self._end(report, drafts)
        except (OSError, FedstackError) as trouble:
            unwritten = trouble if isinstance(trouble, FedstackError) else unwritable(trouble)
            drafts.discard()
            # What is there is of an earlier run, or says that this one went well.
            (self._common.out / REPORT).unlink(missing_ok=True)
            report, files = self._report(error or unwritten), {}
            with suppress(OSError):  # it may be the model only that there is no room for
                self._write(report, drafts)
            with suppress(OSError, FedstackError):
                self._end(report, drafts)
        self._console.close(report, files)
        if error is None and unwritten is not None:
            raise unwritten

    def _end(self, report: Mapping[str, Any], drafts: Drafts) -> None:
        """Let ledger and report end together, as far as a stop from outside is concerned."""
        with stop.deferred():
            if not self._concluded:
                told: dict[str, Any] = dict(of_model(drafts.of(self._common.out / MODEL)))
                if told and report.get("final"):
                    told["metrics"] = finite_only(report["final"])
                    told["intervals"] = finite_only(report.get("intervals", {}))
                self._ledger.write("verdict", verdict=report["verdict"], reason=report["reason"], **told)
                self._concluded = True
                with suppress(OSError):  # the line is there; only a crash of the machine could lose it
                    self._ledger.sync()
            drafts.publish()

    def _timed(self, phase: str, step: Callable[[], None]) -> None:
        self._console.phase(phase)
        started = time.perf_counter()
        try:
            step()
        finally:
            self._seconds[phase] = round(time.perf_counter() - started, 3)

    def _note(self, kind: str, **details: Any) -> None:
        self._ledger.write(kind, **details)
        if kind == "set_aside":
            self._aside[details["client"]] = details["reason"]
        elif kind == "taken_back":
            self._aside.pop(details["client"], None)
        if kind != "exchanged":  # every message is too much to look at
            self._console.event(kind, **details)

    def _settle(self) -> None:
        """End what is still open; the report is about to be written."""
        if settle := getattr(self._grid, "settle", None):
            settle(self._console.event)

    def _open_sums(self) -> SecureAggregation:
        """Let the clients exchange their signed keys; who refuses, or is refused by another, is lost."""
        aggregation = SecureAggregation(self._grid, self._common.run_id, self._names.of, self._wait_seconds)
        found = aggregation.open(self._grid.get_node_ids())
        lost = {self._names.of(node): why for node, why in found.items()}
        join.need_quorum(self._common, len(aggregation.members), "can be summed", lost, self._note)
        return aggregation

    def _wait_seconds(self) -> float:
        """Say how long replies may be waited for: a round's time, but not beyond the run's."""
        return min(self._common.round_seconds, max(0.0, self._deadline - time.monotonic()))

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise FedstackError(
                ExitCode.RUN_DEADLINE,
                f"The run took more than {self._common.run_seconds:g} s.",
                "Raise run_seconds and run again, with --resume where there is a checkpoint.",
            )


def _broken(error: Exception) -> FedstackError:
    return FedstackError(
        ExitCode.ENGINE,
        f"The run broke: {type(error).__name__}: {printable(error)}.",
        "Run again, with --resume where there is a checkpoint.",
        public=f"The run broke: {type(error).__name__}.",
    )
