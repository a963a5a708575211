"""Lets in whoever's certificate lies in the mailbox of a client's account."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Final

from runtime.contract import FedstackError
from runtime.errors import printable
from runtime.link.exchange import Exchange
from runtime.link.server import LinkServer
from runtime.mailbox import Mailbox
from runtime.parallel import at_once

POLL_SECONDS: Final = 0.25

LOOKS_A_TRUSTED_ONE: Final = 20
"""Who is trusted is looked at every five seconds only: a job that starts again leaves another certificate."""


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

    def read(one: tuple[str, Mailbox]) -> bytes | FedstackError | None:
        name, box = one
        try:
            return box.read_certificate(run_id, name)
        except FedstackError as error:
            return error

    for look in count():
        if over.wait(POLL_SECONDS):
            return
        fresh: dict[str, bytes] = {}
        due = {n: box for n, box in boxes.items() if n not in seen or look % LOOKS_A_TRUSTED_ONE == 0}
        for name, found in zip(due, at_once(read, due.items()), strict=True):
            if isinstance(found, FedstackError):  # the next look may do better; it is said once
                if found.what not in complaints:
                    complaints.add(found.what)
                    exchange.note("mailbox_unreadable", client=name, reason=printable(found.what))
            elif found and seen.get(name) != found:
                fresh[name] = found
        if fresh:
            for name, fingerprint in server.trust(fresh).items():
                exchange.note("trusted", client=name, certificate=fingerprint)
            seen |= fresh
