"""What a drill is: a fault, what it must end with, and what it may not cost: checkpoint and ledgers."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from runtime import ledger
from runtime.contract import FedstackError
from runtime.ledger import LedgerError
from runtime.sides import load
from runtime.tabular.server import checkpoint
from runtime.verify import verdict

NO_ROUND: Final = "no round yet"


class DrillError(AssertionError):
    """The fault was not handled as it must be."""


class Out:
    """An output folder of a server, and how each run into it ended."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.ended: list[str] = []

    def note_end(self, code: int, printed: str) -> None:
        """Keep the verdict of a run that has just ended, with the server's exit code.

        Where the report could not be written, the verdict is the one that was printed.
        """
        file = self.out / "report.json"
        said = re.findall(r"^(COMPLETE|PARTIAL|FAILED)\b", printed, re.MULTILINE)[-1:] or ["no verdict"]
        if file.exists():
            said = [json.loads(file.read_text())["verdict"]]
            file.unlink()  # each run writes its own
        self.ended.append("killed" if code < 0 else f"{said[0]} {code}")

    def events(self, kind: str, client: str | None = None) -> list[dict[str, Any]]:
        """Return the ledger's events of a kind, of one client or of all; reading checks the chain."""
        file = self.out / "ledger.jsonl"
        found = [event for event in (ledger.read(file) if file.exists() else []) if event["event"] == kind]
        return [event for event in found if client is None or event.get("client") == client]

    def expect(
        self, kind: str, client: str | None = None, *, times: int | None = None, says: str = ""
    ) -> None:
        """Hold the ledger against what it must say of the fault.

        Raises
        ------
        DrillError
            When it does not name it, or not so often.
        """
        found = [event for event in self.events(kind, client) if says in str(event.get("reason", ""))]
        if len(found) != times if times is not None else not found:
            wanted = "at least once" if times is None else f"{times} times"
            raise DrillError(
                f"the ledger names {kind!r} of {client or 'anybody'} {len(found)} times, not {wanted}"
            )

    def checkpoint(self) -> str:
        """Load the checkpoint as `--resume` would; return the round that it is of.

        Raises
        ------
        DrillError
            When it is lost, or not the one that the ledger names.
        """
        rounds = self.events("round")
        if not rounds:
            return NO_ROUND
        settings = json.loads((self.out / "settings.json").read_text())
        test = self.events("run")[-1]["test_sha256"]
        try:
            state, _ = checkpoint.load(self.out / "checkpoint.npz", settings, test)
        except FedstackError as error:
            raise DrillError(f"the checkpoint is lost: {error.what}") from error
        return f"round {state.last_round}"

    def agree(self, clients: Mapping[str, Path], killed: Collection[str] = ()) -> str:
        """Verify the server's ledger against each client's that there is; return how many agree.

        Parameters
        ----------
        killed
            Clients whose processes were killed: their ledgers have no end, and agree as far as they go.

        Raises
        ------
        DrillError
            Naming the first difference.
        """
        server = self.out / "ledger.jsonl"
        there = {name: path for name, path in clients.items() if path.exists()}
        try:
            for name, path in there.items():
                verdict([load(server), load(path, ended=name not in killed)])
        except (LedgerError, FedstackError) as error:
            raise DrillError(f"the ledgers differ: {error}") from error
        return f"1 + {len(there)} verify"


class Ground:
    """A federation that a drill is run on; subclasses have one over the link, or in emulated accounts."""

    def __init__(self, out: Path) -> None:
        self.run = Out(out)
        self.killed: set[str] = set()
        """Clients whose processes the fault kills, so that their ledgers have no end."""

    def ledgers(self) -> Mapping[str, Path]:
        """Return where each client's ledger is, if it has one."""
        raise NotImplementedError

    def close(self) -> None:
        """Make sure that nothing of it runs any more."""


G = TypeVar("G", bound=Ground)


@dataclass(frozen=True)
class Drill(Generic[G]):
    """A named fault.

    Parameters
    ----------
    name, done
        The fault, and what is done, in words for the table.
    expected
        The verdict and exit code of the server, of each of its runs.
    act
        Does it, and checks what only this fault has to show.
    seconds
        When it is given up on.
    """

    name: str
    done: str
    expected: str
    act: Callable[[G], None]
    seconds: float = 240.0


@dataclass(frozen=True)
class Result:
    """What a drill brought; `got` is what the server ended with, or what went wrong."""

    fault: str
    done: str
    expected: str
    got: str
    seconds: float
    checkpoint: str
    ledgers: str

    @property
    def passed(self) -> bool:
        """Whether it ended as it must."""
        return self.got == self.expected

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` writes it."""
        return {**asdict(self), "passed": self.passed}


def perform(drill: Drill[G], ground: G) -> Result:
    """Run one drill and look at what it left, whatever that is."""
    began, trouble, kept, agreed = time.perf_counter(), "", "-", "-"
    try:
        drill.act(ground)
        kept = ground.run.checkpoint()
        agreed = ground.run.agree(ground.ledgers(), ground.killed)
    except (AssertionError, TimeoutError, OSError, FedstackError, LedgerError) as error:
        trouble = f"{type(error).__name__}: {error}"
    got = ", then ".join(ground.run.ended) or "nothing ended"
    return Result(
        fault=drill.name,
        done=drill.done,
        expected=drill.expected,
        got=f"{got}; {trouble}" if trouble else got,
        seconds=round(time.perf_counter() - began, 1),
        checkpoint=kept,
        ledgers=agreed,
    )


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block when it takes longer; for the main thread only."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"it was given up on after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
