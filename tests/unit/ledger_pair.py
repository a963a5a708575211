"""The ledgers of one run, as a server and a client write them, and how a forger rewrites one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.ledger import GENESIS, Ledger

Events = list[dict[str, Any]]
NAMES = ("clinic", "insurer")
KINDS = ("query.prepare", "train", "train", "evaluate")
CERTIFICATE = "sha256:" + "c" * 64


class Pair:
    """A server's ledger and that of one of its two clients; more can be written before `end`."""

    def __init__(self, folder: Path, run_id: str = "run-1", name: str = "clinic") -> None:
        self.server, self.client = folder / "server.jsonl", folder / f"{name}.jsonl"
        self.name, self._ours, self._theirs = name, Ledger(self.server), Ledger(self.client)
        self.count = 0
        self.begin(run_id)
        self.join(run_id)

    def begin(self, run_id: str, *, resume: bool = False) -> None:
        roster = [{"name": one} for one in NAMES]
        told = {"run_id": run_id, "clients": roster, "engine": "link", "resume": resume}
        self._ours.write("run", settings=told)
        self.count = 0

    def join(self, run_id: str, certificate: str = CERTIFICATE) -> None:
        self._ours.write("trusted", client=self.name, certificate=certificate)
        self._ours.write("joined", client=self.name)
        self._theirs.write("started", run_id=run_id, client=self.name, certificate=certificate, rows=1000)
        self.certificate = certificate

    def message(
        self, kind: str, server: str | None = "exchanged", *, client: bool = True, **bent: Any
    ) -> None:
        """Write a message to both sides, or to one: `server` is what the server says of it."""
        self.count += 1
        said: dict[str, Any] = {
            "id": f"message-{self.count}",
            "message": kind,
            "request_sha256": f"{self.count:064x}",
        }
        answer, line = {"reply_sha256": f"{self.count:063x}a"}, ""
        if client:
            line = self._theirs.write("answered", **said, **answer, bytes_in=1000, bytes_out=500)
        if server == "missed":
            self._ours.write("missed", client=self.name, reason="no reply", **said, bytes_down=1000)
        elif server:
            more = {"bytes_up": 500, "client_ledger": line, "certificate": self.certificate}
            self._ours.write(server, client=self.name, **said, bytes_down=1000, **{**answer, **more, **bent})

    def end(self, event: str = "ended") -> None:
        self._ours.write("round", round=1)
        head = self._ours.write("verdict", verdict="COMPLETE")
        self._theirs.write(event, server_ledger=head)


def whole_pair(folder: Path, run_id: str = "run-1", name: str = "clinic") -> Pair:
    pair = Pair(folder, run_id, name)
    for kind in KINDS:
        pair.message(kind)
    pair.end()
    return pair


def events(path: Path) -> Events:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewrite(path: Path, change: Callable[[Events], object]) -> None:
    """Change a ledger's events as a forger would: every hash from the change on is computed anew."""
    old, lines, head = events(path), list[str](), GENESIS
    change(old)
    for seq, event in enumerate(old):
        told = {key: value for key, value in event.items() if key not in ("previous", "sha256")}
        text = json.dumps({**told, "seq": seq, "previous": head})
        head = hashlib.sha256(text.encode()).hexdigest()
        lines.append(f'{text[:-1]}, "sha256": "{head}"}}\n')
    path.write_text("".join(lines))
