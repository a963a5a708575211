"""What a client's process runs: the built-in app over its silo, or any other Flower app.

What can be wrong with either is found here, before the server hears of this client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.app import Context, Message

from runtime.client.hosting.hosted_app import HostedApp
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import BUILT_IN_APP, BUNDLED_APP, FlowerApp
from runtime.ledger import Ledger
from runtime.link import flower
from runtime.link.versions import BUILT_IN
from runtime.tabular.client import client_gain, drift, silo

log = logging.getLogger("fedstack.client")


@dataclass(frozen=True)
class Session:
    """A ClientApp that is ready, and what is to be said of it.

    Parameters
    ----------
    app
        Called with every message and the context that holds the policy.
    digest
        Of the app, which the server's must be.
    facts
        What the client's own ledger begins with.
    begin
        Told at the handshake what the server says of the run.
    acts
        What the app did beside computing since the last time: what, and to what.
    record
        Writes what else the client's own ledger is to say of a message and its answer.
    drift
        Told where the account keeps what outlives runs, and the run; what of the data changed since the last.
    """

    app: Callable[[Message, Context], Message]
    digest: str = BUILT_IN
    facts: Mapping[str, Any] = field(default_factory=dict)
    begin: Callable[[Mapping[str, Any]], None] = lambda _: None
    acts: Callable[[], Sequence[tuple[str, str]]] = tuple
    record: Callable[[Message, Message, Ledger], None] = lambda *_: None
    drift: Callable[[str, str], Mapping[str, Any] | None] = lambda *_: None


def open_session(
    folder: Path | None, name: str, node_id: int, data: Path, output_dir: Path, node_config: Sequence[str]
) -> Session:
    """Return the session of the app in a folder, of the bundle's app, or else of the built-in one.

    Parameters
    ----------
    node_config
        What the data's owner gives the app, each KEY=VALUE as Flower's own command line takes them.
    """
    if folder is None and BUNDLED_APP.is_dir():
        folder = BUNDLED_APP
    if folder is None or folder.absolute() == BUILT_IN_APP:
        if node_config:
            raise FedstackError(
                ExitCode.CONFIG,
                f"--node-config is {list(node_config)}, and the built-in app takes none.",
                "Leave it out, or give --app.",
            )
        return _built_in(FlowerApp.read(BUILT_IN_APP), name, data)
    app = FlowerApp.read(folder)
    if not data.exists():
        raise FedstackError(
            ExitCode.DATA, f"There is no data at {data}.", "Give another --data.", public=None
        )
    own = {"name": name, "data": str(data), "output-dir": str(output_dir), **_read(node_config)}
    hosted = HostedApp(app, own)
    log.info("%s: app %s %s, node config %s", name, app.name, app.version, sorted(own))
    facts = {"app": app.name, "app_version": app.version, "app_sha256": app.digest()}
    return Session(hosted, app.digest(), facts, lambda told: hosted.begin(node_id, told), hosted.watch.fresh)


def _built_in(app: FlowerApp, name: str, data: Path) -> Session:
    facts = silo.facts(name, data)
    return Session(
        app.load_client_app(),
        facts=facts,
        record=client_gain.record,
        drift=lambda place, run_id: drift.compared(data, place, run_id),
    )


def _read(node_config: Sequence[str]) -> dict[str, Any]:
    try:
        return dict(flower.read_pairs(node_config))
    except ValueError as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"--node-config is {list(node_config)}: {error}.",
            'Give it as key=value, texts in quotes: age=40 region="north".',
        ) from None
