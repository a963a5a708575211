"""One run of any Flower app, from the first client that joins to the verdict; the same on every engine.

The app's ServerApp is called as Flower calls it, in the output folder, with a Grid of the platform's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from rich.table import Table

from runtime.contract import ExitCode, FedstackError, Updates
from runtime.errors import printable
from runtime.flower_app import FlowerApp
from runtime.link.grid import RUN_NUMBER
from runtime.messages import NAME_QUERY
from runtime.server.report import app_report
from runtime.server.report.console import VISIBLE_ROUNDS, RunConsole
from runtime.server.report.files import Drafts
from runtime.server.run.app_grid import AppGrid
from runtime.server.run.exchanged import Exchanged, weightless
from runtime.server.run.join import messages_to_all
from runtime.server.run.lifecycle import Lifecycle
from runtime.server.settings import AppSettings, Engine

TEST_DATA: Final = "test-data"
"""The key of a run config under which a ServerApp finds the server's own test set, if the app has it."""

SHOWN_METRICS: Final = 3
"""Metrics of an exchange that fit a line of a terminal."""


class AppRun(Lifecycle):
    """Join, call the app's ServerApp, and judge what came of it.

    Parameters
    ----------
    grid
        What carries the messages: the link, or one of Flower's own engines.
    """

    def __init__(self, grid: Grid, settings: AppSettings) -> None:
        self._settings, self._app = settings, FlowerApp.read(settings.app)
        self._shown = AppConsole(settings, self._app)
        super().__init__(grid, settings, self._shown)
        self._config = self._app.run_config(settings.run_config)
        if settings.test_data is not None and TEST_DATA in self._config:
            self._config[TEST_DATA] = str(settings.test_data)
        self._server_app = self._app.load_server_app()
        self._record = app_report.Record(
            settings.roster,
            seconds=self._seconds,
            there=app_report.files_in(settings.out),
        )

    def _facts(self) -> dict[str, Any]:
        return {"app": {"name": self._app.name, "version": self._app.version, "sha256": self._app.digest()}}

    def _play(self) -> None:
        self._timed("app", self._call)

    def _note(self, kind: str, **details: Any) -> None:
        super()._note(kind, **details)
        self._record.note(kind, details)

    def _learn_names(self) -> None:
        """Ask who is who, where no certificate proves it: Flower's own engines number nodes at random."""
        sent = messages_to_all(self._grid, RecordDict(), NAME_QUERY)
        for reply in self._grid.send_and_receive(sent, timeout=self._wait_seconds()):
            with contextlib.suppress(KeyError, ValueError, TypeError):
                if not reply.has_error():
                    claim = str(reply.content.config_records["client"]["name"])
                    self._names.learn(reply.metadata.src_node_id, claim)

    def _call(self) -> None:
        if self._settings.engine is not Engine.LINK:
            self._learn_names()
        grid = AppGrid(
            self._grid,
            self._app,
            self._names.of,
            self._wait_seconds,
            self._settings.quorum,
            self._exchanged,
            self._open_sums() if self._settings.updates is Updates.SUMS else None,
        )
        context = Context(RUN_NUMBER, 0, {}, RecordDict(), self._config)
        try:
            with results(self._record.results.append), contextlib.chdir(self._settings.out):
                self._server_app(grid, context)
        except (FedstackError, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._check_deadline()
            raise FedstackError(
                ExitCode.SERVER_APP,
                f"The app's ServerApp raised {type(error).__name__}{self._app.place_of(error)}: "
                f"{printable(error, 300)}.{weightless(self._record.exchanges)}",
                "Mend the app, then run again.",
                public=f"The app's ServerApp raised {type(error).__name__}{self._app.place_of(error)}.",
            ) from error

    def _exchanged(self, exchanged: Exchanged) -> None:
        self._record.exchanges.append(exchanged)
        details = {"kind": exchanged.kind, "round": exchanged.round, "seconds": exchanged.seconds}
        self._ledger.write("replies", **details, clients=exchanged.clients, metrics=exchanged.metrics)
        self._shown.exchanged(exchanged)

    def _wait_seconds(self) -> float:
        self._check_deadline()  # nobody else looks at it while an app goes on and on
        return super()._wait_seconds()

    def _report(self, error: BaseException | None) -> dict[str, Any]:
        return app_report.build(self._settings, self._app, self._config, self._record, error)

    def _write(self, report: dict[str, Any], drafts: Drafts) -> Mapping[str, Path]:
        return app_report.write(report, self._settings.out, self._record, drafts)


@contextlib.contextmanager
def results(take: Callable[[Result], None]) -> Iterator[None]:
    """Hand on whatever a strategy's `start` returns, for the time of the block."""
    start = Strategy.start

    def started(self: Strategy, *args: Any, **options: Any) -> Result:
        result = start(self, *args, **options)
        take(result)
        return result

    Strategy.start = started  # type: ignore[method-assign]
    try:
        yield
    finally:
        Strategy.start = start  # type: ignore[method-assign]


class AppConsole(RunConsole):
    """Show what an app's messages bring."""

    def __init__(self, settings: AppSettings, app: FlowerApp) -> None:
        headline = (
            f"{app.publisher}/{app.name} {app.version} over {settings.engine.value}, "
            f"{len(settings.roster)} clients"
        )
        super().__init__(settings, headline)
        self._exchanges: list[Exchanged] = []

    def exchanged(self, exchanged: Exchanged) -> None:
        """Show what became of messages."""
        self._exchanges.append(exchanged)
        for name, said in exchanged.clients.items():
            self._standing[name] = f"{exchanged.kind}: {said}"
        self._show(
            f"{exchanged.kind} {exchanged.round:>3}  {exchanged.seconds:.2f} s  "
            f"replies {exchanged.usable}/{len(exchanged.clients)}  {_shown(exchanged)}".rstrip()
        )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("kind", "round", "seconds", "replies", "means of the clients' metrics"):
            table.add_column(heading)
        for one in self._exchanges[-VISIBLE_ROUNDS:]:
            replies = f"{one.usable}/{len(one.clients)}"
            table.add_row(one.kind, str(one.round), f"{one.seconds:.2f}", replies, _shown(one))
        return table


def _shown(exchanged: Exchanged) -> str:
    return "  ".join(
        f"{printable(name, 30)} {value:.4g}"
        for name, value in list(exchanged.metrics.items())[:SHOWN_METRICS]
    )
