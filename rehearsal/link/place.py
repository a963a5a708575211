"""The files of one federation on this machine: a test set, one silo and one mailbox per client, a roster."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

from rehearsal.data import providers
from runtime.client.signing_key import make_file
from runtime.ledger import read
from runtime.sides import load
from runtime.tabular.data.dataset import Dataset, save_csv
from runtime.tabular.data.silos import Split, hold_out, split
from runtime.verify import verdict

NAMES: Final = ("clinic", "insurer", "pharmacy")


@cache
def parted() -> tuple[Dataset, Dataset]:
    """Return the rows of the clients and those of the server."""
    return hold_out(providers(), 0.2, seed=0)


class Place:
    """A folder with all that a federation needs.

    Parameters
    ----------
    root
        An empty folder.
    names
        The clients.
    how
        How their silos differ.
    """

    def __init__(self, root: Path, names: tuple[str, ...] = NAMES, how: Split = Split.FEATURE) -> None:
        self.root, self.names, self.out = root, names, root / "out"
        self.test, self.roster = root / "test.csv", root / "federation.json"
        rest, test = parted()
        save_csv(self.test, test)
        self.silos = root / "silos"
        self.silos.mkdir()
        for name, silo in zip(names, split(rest, len(names), how, seed=0), strict=True):
            save_csv(self.silo(name), silo)
        clients = [{"name": name, "mailbox": self.mailbox(name)} for name in names]
        self.roster.write_text(json.dumps({"name": "test", "clients": clients}))

    plain: ClassVar = [
        "--privacy-updates=plain",
        "--privacy-min-rows=1",
        "--privacy-max-numbers-per-cell=1e9",
    ]
    """The policy of owners who let the server see all: most tests are about what it does with that."""

    def summed(self, name: str) -> tuple[str, ...]:
        """Return the options of a client with the default policy that agrees to be summed with all others."""
        keys = {one: _signing_key(self.root / "keys" / f"{one}.pem") for one in self.names}
        others = [
            f"--privacy-cohort-{n}={one}={keys[one]}" for n, one in enumerate(self.names, 1) if one != name
        ]
        return (
            f"--privacy-signing-key=file://{self.root}/keys/{name}.pem",
            "--privacy-updates=sums",
            *others,
        )

    def silo(self, name: str) -> Path:
        """Return where a client's rows are."""
        return self.silos / f"{name}.csv"

    def mailbox(self, name: str) -> str:
        """Return the URI of a client's mailbox."""
        return f"file://{self.root}/mail-{name}"

    def model(self, name: str) -> Path:
        """Return where a client keeps its final model."""
        return self.root / f"model-{name}" / "model.joblib"

    def report(self) -> dict[str, Any]:
        """Return the run's report."""
        report: dict[str, Any] = json.loads((self.out / "report.json").read_text())
        return report

    def ledger(self) -> list[dict[str, Any]]:
        """Return the server's ledger; reading it checks its chain."""
        ledger = self.out / "ledger.jsonl"
        return read(ledger) if ledger.exists() else []

    def events(self, name: str, *kinds: str) -> list[str]:
        """Return what happened to one client, in order: all but its messages, or only these kinds."""
        mine = [one["event"] for one in self.ledger() if one.get("client") == name]
        return [kind for kind in mine if (kind in kinds if kinds else kind != "exchanged")]

    def agree(self, *names: str) -> str:
        """Verify the server's ledger against these clients', or all; return what was found of the last."""
        said = ""
        for name in names or self.names:
            said = verdict([load(self.out / "ledger.jsonl"), load(self.root / name / "ledger.jsonl")])
        return said

    def reasons(self, name: str, kind: str) -> list[str]:
        """Return why a client was refused or missed."""
        return [one["reason"] for one in self.ledger() if (one["event"], one.get("client")) == (kind, name)]


@cache
def _signing_key(file: Path) -> str:
    return make_file(file)
