"""A link whose two ends keep ledgers, as a run and its clients do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from end_to_end.hub import Hub, Running
from rehearsal.link.waiting import eventually
from runtime.client.client import close_ledger, recording
from runtime.client.session import Session
from runtime.ledger import Ledger, head, read
from runtime.link.client import Handler, LinkClient
from runtime.link.identity import make_identity
from runtime.link.wire import Kind
from runtime.sides import load
from runtime.verify import verdict

RUN_ID = "run-1"
Events = list[dict[str, Any]]


class Kept(Hub):
    """A server that keeps a ledger, as a run does, and clients that keep theirs."""

    def __init__(self, folder: Path, *names: str) -> None:
        super().__init__(*names)
        self.folder, self.file = folder, folder / "ledger.jsonl"
        self.ledger = Ledger(self.file)
        roster = [{"name": name} for name in names]
        self.ledger.write("run", settings={"run_id": RUN_ID, "clients": roster, "engine": "link"})
        self.exchange.watch(self._note)
        self.ended: dict[str, Running] = {}

    def _note(self, kind: str, **details: Any) -> None:
        self.told.append((kind, details))
        self.ledger.write(kind, **details)

    def enter(self, name: str, handler: Handler, **options: Any) -> None:
        """Let a client in, with a ledger of its own."""
        own = make_identity(name, 600)
        self.server.trust({name: own.certificate})
        self.exchange.note("trusted", client=name, certificate=own.fingerprint)
        ledger = Ledger(self.folder / f"{name}.jsonl")
        ledger.write("started", run_id=RUN_ID, client=name, certificate=own.fingerprint)
        settings: dict[str, Any] = {
            "address": self.address,
            "server_fingerprint": self.own.fingerprint,
            "run_seconds": 600,
        }
        session = Session(lambda message, _: handler(message))
        link = LinkClient(
            own=own,
            handler=handler,
            record=recording(ledger, session),
            **(settings | options),
        )
        before = self.count("joined", name) + self.count("rejoined", name)
        self.ended[name] = Running(_Closing(link, ledger))  # type: ignore[arg-type]
        eventually(lambda: self.count("joined", name) + self.count("rejoined", name) > before, name)

    def verify(self, name: str, kind: Kind = Kind.END) -> tuple[str, Events, Events]:
        """End the run and compare; return the sentence, and both sides' lines of messages."""
        self.finish(kind)
        self.ended[name].end()
        theirs = self.folder / f"{name}.jsonl"
        said = verdict([load(theirs), load(self.file)])
        ours = [one for one in read(self.file) if one.get("client") == name and "request_sha256" in one]
        return said, ours, [one for one in read(theirs) if one["event"] == "answered"]

    def finish(self, kind: Kind = Kind.END) -> None:
        """Write the verdict and tell everybody, once."""
        if self.exchange._last_frame is None:
            self.exchange.settle(lambda *_, **__: None)
            self.ledger.write("verdict", verdict="COMPLETE")
            self.exchange.end(kind, server_ledger=head(self.file))

    def close(self) -> None:
        self.finish()
        self.server.stop()


class _Closing:
    """A client that closes its ledger, as client.py does."""

    def __init__(self, link: LinkClient, ledger: Ledger) -> None:
        self._link, self._ledger = link, ledger

    def run(self) -> None:
        try:
            self._link.run()
        except BaseException as error:
            close_ledger(self._ledger, self._link, error)
            raise
        close_ledger(self._ledger, self._link, None)
