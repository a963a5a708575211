"""Lets in whoever's certificate lies in the mailbox of a client's account."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from runtime.contract import FedstackError
from runtime.errors import printable
from runtime.link.exchange import Exchange
from runtime.link.server import LinkServer
from runtime.mailbox import Mailbox

POLL_SECONDS: Final = 0.25


@contextmanager
def trusting(
    boxes: Mapping[str, Mailbox], server: LinkServer, exchange: Exchange, run_id: str
) -> Iterator[None]:
    """Watch the clients' mailboxes, for the time of the block, in the background."""
    over = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(boxes, server, exchange, run_id, over), daemon=True, name="mailboxes"
    )
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(
    boxes: Mapping[str, Mailbox],
    server: LinkServer,
    exchange: Exchange,
    run_id: str,
    over: threading.Event,
) -> None:
    seen: dict[str, bytes] = {}
    complaints: set[str] = set()
    while not over.wait(POLL_SECONDS):
        fresh: dict[str, bytes] = {}
        for name, box in boxes.items():
            try:
                certificate = box.read_certificate(run_id, name)
            except FedstackError as error:  # the next look may do better; it is said once
                if error.what not in complaints:
                    complaints.add(error.what)
                    exchange.note("mailbox_unreadable", client=name, reason=printable(error.what))
                continue
            if certificate and seen.get(name) != certificate:
                fresh[name] = certificate
        if fresh:
            for name, fingerprint in server.trust(fresh).items():
                exchange.note("trusted", client=name, certificate=fingerprint)
            seen |= fresh
