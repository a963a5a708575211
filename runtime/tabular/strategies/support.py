"""Which strategy works with which way of privacy: one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.contract import LEAST_COHORT
from runtime.server.settings import OWNER
from runtime.tabular import models

LOSS: Final = "weighs clients by their training loss, which may not leave them"
SINGLE: Final = "compares single updates, of which the server sees only the sum"
TREES: Final = "collects trees, which no bound on a row and no sum is made for"
HISTOGRAMS: Final = "sums over cells of few rows, which noise would drown"
UNKNOWN: Final = "is not known to work with it"


@dataclass(frozen=True)
class Support:
    """Why a strategy does not work with a privacy feature; None: it works."""

    dp: str | None
    secure: str | None

    @property
    def both(self) -> str | None:
        """Both work together where each works alone."""
        return self.dp or self.secure


WORKS: Final = Support(None, None)
OWN_UPDATES: Final = frozenset({"fednewton", "histogram"})
"""What clients send for these is no model, and of one size whatever the model's is."""

SUPPORT: Final = {
    "fednewton": WORKS,
    "histogram": Support(HISTOGRAMS, None),
    "fedavg": WORKS,
    "fedavgm": WORKS,
    "fedprox": WORKS,
    "fedadagrad": WORKS,
    "fedadam": WORKS,
    "fedyogi": WORKS,
    "qfedavg": Support(LOSS, SINGLE),
    "fedxgbbagging": Support(TREES, TREES),
    "fedmedian": Support(None, SINGLE),
    "fedtrimmedavg": Support(None, SINGLE),
    "krum": Support(None, SINGLE),
    "multikrum": Support(None, SINGLE),
    "bulyan": Support(None, SINGLE),
}
"""Every strategy; settings refuse by it, docs/privacy.md shows it."""


def table() -> str:
    """Return the table of docs/privacy.md."""
    lines = ["| strategy | differential privacy | secure aggregation | both |", "|---|---|---|---|"]
    for name, support in SUPPORT.items():
        cells = (support.dp, support.secure, support.both)
        shown = [f"refused: {reason}" if reason else "works" for reason in cells]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def against_sums(strategy: str, model: str, engine: str, clients: int, sure: int) -> list[str]:
    """Return why updates cannot be asked for in sums; nothing, if they can.

    Parameters
    ----------
    sure
        How many of the clients a round needs.
    """
    found = []
    if reason := SUPPORT.get(strategy, Support(UNKNOWN, UNKNOWN)).secure:
        found.append(f"{strategy} {OWNER}: it {reason}")
    elif strategy not in OWN_UPDATES and not models.load(model).fixed_size:
        found.append(f"the model {model} {OWNER}: its updates differ in size, and sums need one")
    if engine != "link":
        found.append(
            f"the engine {engine} {OWNER}: its virtual clients share a process, and so would their keys"
        )
    if sure < LEAST_COHORT:
        found.append(
            f"a federation of {clients} that goes on with {sure} {OWNER}: a sum has {LEAST_COHORT} members "
            "at least, for of two each could take its own from it"
        )
    return found
