"""Run over the link: listen, invite the clients, and call the ServerApp in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flwr.app import Context, RecordDict

from runtime import ledger
from runtime.contract import Updates
from runtime.errors import crossing
from runtime.flower_app import BUILT_IN_APP, FlowerApp
from runtime.link.exchange import Exchange
from runtime.link.grid import RUN_NUMBER, LinkGrid
from runtime.link.identity import SERVER_NAME, Identity, make_identity
from runtime.link.server import LinkServer
from runtime.link.versions import BUILT_IN
from runtime.link.wire import Kind
from runtime.mailbox import Mailbox
from runtime.server import memory
from runtime.server.engines import engine_app
from runtime.server.jobs import kickoff
from runtime.server.jobs.certificates import trusting
from runtime.server.jobs.load_balancer import registered
from runtime.server.settings import AppSettings, PlatformSettings


def run_on_link(settings: PlatformSettings, settings_file: Path) -> None:
    """Listen, invite the clients, call the ServerApp, and tell every client how it ended.

    Each client hears the head of the server's ledger then, whose last line is the verdict.
    """
    memory.give_back()
    own = make_identity(SERVER_NAME, settings.run_seconds)
    app = FlowerApp.read(settings.app if isinstance(settings, AppSettings) else BUILT_IN_APP)
    exchange = Exchange(
        settings.roster,
        largest_reply=app.largest_reply,
        masked=settings.updates is Updates.SUMS,
    )
    server = LinkServer(
        *(exchange, own, settings.roster, settings.run_seconds),
        app=BUILT_IN if app.is_built_in else app.digest(),
        told=lambda name: told_of(settings, name),
    )
    port = server.start(settings.address)
    invitation = _invite(settings, own, port)
    roles = kickoff.roles_of(settings)
    boxes = {c.name: Mailbox(c.mailbox, kickoff.s3_of(roles, c.name)) for c in settings.clients}
    jobs = kickoff.Kickoff(settings, roles, exchange.note, exchange.remove)
    grid = LinkGrid(exchange, min_clients=settings.quorum, patience_seconds=settings.round_seconds)
    context = Context(RUN_NUMBER, 0, {}, RecordDict(), {"settings": str(settings_file)})
    try:
        here = f"{settings.address.rpartition(':')[0]}:{port}"
        behind = registered(settings.target_group, here, exchange.note)
        with behind, jobs.jobs(invitation), trusting(boxes, server, exchange, settings.run_id):
            engine_app.app(grid, context)
    except BaseException as error:
        last = ledger.last(settings.out / "ledger.jsonl")
        if last.get("event") == "verdict" and last.get("verdict") != "FAILED":  # a stop came after the end
            exchange.end(Kind.END, server_ledger=last["sha256"])
        else:
            head = str(last.get("sha256", ledger.GENESIS))
            exchange.end(Kind.ABORT, reason=crossing(error), server_ledger=head)
        raise
    else:
        exchange.end(Kind.END, server_ledger=ledger.head(settings.out / "ledger.jsonl"))
    finally:
        server.stop()


def told_of(settings: PlatformSettings, name: str) -> dict[str, Any]:
    """Return what a client is told of the run at the handshake, where its app needs to be told."""
    if not isinstance(settings, AppSettings):
        return {}
    place = {"partition-id": settings.roster.index(name), "num-partitions": len(settings.roster)}
    return {"run-config": settings.run_config, **place}


def _invite(settings: PlatformSettings, own: Identity, port: int) -> dict[str, str]:
    """Write what a client's job needs to know to join; none of it is secret."""
    host = settings.address.rpartition(":")[0]
    invitation = {
        "run-id": settings.run_id,
        "server-address": f"{host}:{port}",
        "server-fingerprint": own.fingerprint,
    }
    fresh = settings.out / "invitation.tmp"
    fresh.write_text(json.dumps(invitation, indent=1) + "\n")
    fresh.replace(settings.out / "invitation.json")
    return invitation
