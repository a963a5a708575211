"""Federations in this process, for measurements of what is learnt: the tests' own, without their console."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rehearsal.in_process import CMS_FILE, ROBUST, Federation, lie, providers
from runtime.contract import FedstackError
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.silos import Split, hold_out, split

__all__ = [
    "DATA",
    "PRIVATE_ROUNDS",
    "ROBUST",
    "Federation",
    "held_out",
    "lie",
    "providers",
    "run",
    "silos",
]

DATA = "the CMS file" if CMS_FILE.exists() else "the stand-in"
PRIVATE_ROUNDS = {"fednewton": 6, "fedavg": 10}
"""What differential privacy is measured with: fewer rounds have less noise in each."""


def run(federation: Federation, strategy: str, rounds: int, **settings: Any) -> dict[str, Any]:
    """Run a federation that keeps no rows back, and return its report, also of a run that was refused."""
    logging.getLogger("flwr").setLevel(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(FedstackError):
        return federation.run(strategy=strategy, rounds=rounds, validation=0.0, **settings)
    report: dict[str, Any] = json.loads((federation.folder / "out" / "report.json").read_text())
    return report


def held_out(seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return the test set, which no client has, and the rows that clients have."""
    rest, test = hold_out(providers(), 0.2, seed)
    return test, rest


@contextlib.contextmanager
def silos(
    rest: Dataset, test: Dataset, clients: int = 3, how: Split = Split.FEATURE, seed: int = 0
) -> Iterator[Federation]:
    """Cut rows into silos that last as long as the context."""
    with tempfile.TemporaryDirectory() as folder:
        parts = split(rest, clients, how, seed)
        yield Federation.of(Path(folder), {f"silo-{n}": part for n, part in enumerate(parts)}, test)
