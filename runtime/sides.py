"""One side's ledger, a server's or a client's: read, cut into runs or jobs, and checked alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from runtime.contract import ExitCode, FedstackError
from runtime.ledger import LedgerError, chained, lines_of

RUN: Final = "run"
JOB: Final = "started"
"""What each part of a ledger begins with: a server's of one run, a client's of one job."""

ENDS: Final = {RUN: ("verdict",), JOB: ("ended", "failed")}
MESSAGES: Final = {RUN: ("exchanged", "refused", "missed"), JOB: ("answered",)}
FOREIGN: Final = {
    RUN: ("answered", "ended"),
    JOB: ("run", "round", "verdict", "exchanged", "refused", "missed"),
}
"""Events that only the other side writes."""


class Line(NamedTuple):
    """An event, and where it stands."""

    path: Path
    number: int
    event: dict[str, Any]

    @property
    def kind(self) -> str:
        """What happened."""
        return str(self.event["event"])

    def text(self, key: str) -> str:
        """Return a field that must be text."""
        if not isinstance(value := self.event.get(key), str):
            raise LedgerError(f"{self}: {key} is {shown(value)}, which is no text")
        return value

    def __str__(self) -> str:
        """Say which line it is."""
        return f"{self.path}: line {self.number}"


Part = list[Line]


@dataclass(frozen=True)
class Side:
    """One ledger; each part is what one run, or one job of a client, wrote."""

    path: Path
    kind: str
    parts: list[Part]

    @property
    def lines(self) -> int:
        """How many lines there are."""
        return self.parts[-1][-1].number

    def names(self, part: Part) -> list[str]:
        """Return whom a part's lines may name: the run's roster, or the one client of all jobs."""
        if self.kind == JOB:
            return [self.parts[0][0].text("client")]
        try:
            return [str(client["name"]) for client in part[0].event["settings"]["clients"]]
        except (KeyError, TypeError) as error:
            raise LedgerError(f"{part[0]} has no roster") from error

    def run_id(self, part: Part) -> str:
        """Return the run that a part is of."""
        told = part[0].event if self.kind == JOB else part[0].event.get("settings")
        return str(told.get("run_id")) if isinstance(told, dict) else ""


def load(path: Path, *, ended: bool = True) -> Side:
    """Read one ledger and find out whether it is whole.

    Parameters
    ----------
    ended
        Whether it must have an end; False for one whose process is known to have been killed.

    Raises
    ------
    LedgerError
        Naming the first line that cannot be what was written there.
    FedstackError
        When the file is no ledger, or ends in half a line.
    """
    lines, half = lines_of(path)
    if half or not lines or not _is_object(lines[0]):
        what = f"ends in half a line, after {len(lines)} whole ones" if half and lines else "is no ledger"
        raise FedstackError(ExitCode.CONFIG, f"The file {path} {what}.", "Name a ledger.jsonl that is whole.")
    numbered = [Line(path, number, event) for number, event in enumerate(chained(path, lines), start=1)]
    kind = numbered[0].kind
    if kind not in ENDS:
        raise LedgerError(
            f"{numbered[0]} is {shown(kind)}, but a server's ledger begins with {RUN!r} and a client's with "
            f"{JOB!r}"
        )
    side = Side(path, kind, list(_parts(kind, numbered)))
    _check_names(side)
    if ended and (last := numbered[-1]).kind not in ENDS[kind]:
        raise LedgerError(
            f"{last} is the last and {shown(last.kind)}, not {' or '.join(ENDS[kind])}: lines are missing "
            "after it, or the process was killed"
        )
    return side


def shown(value: Any) -> str:
    """Quote what a ledger holds so that it stays on its line."""
    return ascii(value)[:100]


def _parts(kind: str, lines: list[Line]) -> Iterator[Part]:
    part: Part = []
    seen: set[str] = set()
    for line in lines:
        if line.kind == kind:
            if part:
                yield part
            part, seen = [], set()
        elif part[-1].kind in ENDS[kind]:
            raise LedgerError(f"{line} follows {part[-1].kind!r}, after which nothing is written")
        elif line.kind in FOREIGN[kind]:
            raise LedgerError(f"{line} is {line.kind!r}, which only the other side's ledger has")
        elif line.kind in MESSAGES[kind]:
            if (message := line.text("id")) in seen:
                raise LedgerError(f"{line} has {shown(message)} for the second time")
            seen.add(message)
        part.append(line)
    yield part


def _check_names(side: Side) -> None:
    """Find lines of who is not in the run; Flower's own engines have nodes that never say their names."""
    for part in side.parts:
        names = side.names(part)
        if side.kind == RUN and part[0].event["settings"].get("engine") != "link":
            continue
        for line in part:
            if "client" in line.event and line.event["client"] not in names:
                raise LedgerError(f"{line} is of client {shown(line.event['client'])}, who is foreign to it")


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
