"""The rehearsal's data: one file cut into a test set that only the server has and one silo per client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.task.data import Dataset, load_csv, save_csv
from runtime.task.schema import schema_of
from runtime.task.silos import Split, hold_out, split
from runtime.task.standin import ROWS, generate

TEST_FRACTION: Final = 0.2
FEWEST_PER_CLIENT: Final = 55
"""Rows of the stand-in for each client, five of them positive: what a hundred share of the usual 5,500."""


@dataclass(frozen=True)
class Silos:
    """Where the parts lie, and the parts themselves, which only a rehearsal may have in one place."""

    folder: Path
    test_file: Path
    test: Dataset
    silos: dict[str, Dataset]
    rest: Dataset

    def file(self, name: str) -> Path:
        """Return a silo's file."""
        return self.folder / f"{name}.csv"


def cut(data: Path | None, folder: Path, *, clients: int, how: Split, seed: int) -> Silos:
    """Cut a data set, or the stand-in when there is none, and write each part to a file.

    Parameters
    ----------
    data
        A CSV of the CMS schema, or of the one in a schema.json beside it; None for the stand-in, which grows
        with the clients beyond a hundred.
    folder
        Where `test.csv` and the folder `silos` go.
    """
    whole = (
        load_csv(data, schema_of(data)) if data else generate(max(ROWS, FEWEST_PER_CLIENT * clients), seed)
    )
    rest, test = hold_out(whole, TEST_FRACTION, seed)
    parts = split(rest, clients, how, seed)
    made = Silos(
        folder=folder / "silos",
        test_file=folder / "test.csv",
        test=test,
        silos={f"silo-{number}": part for number, part in enumerate(parts)},
        rest=rest,
    )
    made.folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, made.folder):
        whole.schema.save(place)
    save_csv(made.test_file, test)
    for name, part in made.silos.items():
        save_csv(made.file(name), part)
    return made
