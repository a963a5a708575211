"""The rehearsal's data: one file cut into a test set that only the server has and one silo per client."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.dataset import Dataset, load_csv, save_csv
from runtime.tabular.data.schema import CMS, schema_of
from runtime.tabular.data.silos import Split, hold_out, split
from runtime.tabular.data.standin import ROWS, generate

TEST_FRACTION: Final = 0.2
SHOWN_SIZES: Final = 12
FEWEST_PER_CLIENT: Final = 55
"""Rows of the stand-in for each client, five of them positive: what a hundred share of the usual 5,500."""

CMS_FILE: Final = Path(__file__).parents[2] / "shared/data/cms/processed_data_classification_v2.csv"


@cache
def providers() -> Dataset:
    """5,500 providers, 38 of them duplicates; real if possible."""
    return load_csv(CMS_FILE, CMS) if CMS_FILE.exists() else generate(seed=4)


@dataclass(frozen=True)
class Silos:
    """Where the parts lie, and the parts themselves, which only a rehearsal may have in one place."""

    folder: Path
    test_file: Path
    test: Dataset
    silos: dict[str, Dataset]
    rest: Dataset

    @property
    def names(self) -> list[str]:
        """The clients' names."""
        return list(self.silos)

    @property
    def told(self) -> str:
        """What a person is told of them."""
        rows = [f"{len(part):,}" for part in self.silos.values()]
        sizes = ", ".join(rows) if len(rows) <= SHOWN_SIZES else f"of {len(rows):,} silos"
        return f"rows {sizes}; test set {len(self.test):,}"

    def file(self, name: str) -> Path:
        """Return a silo's file."""
        return self.folder / f"{name}.csv"


@dataclass(frozen=True)
class Parts:
    """Data of an app's own kind: what is handed to each client as it is, and to the server."""

    folder: Path
    test_file: Path
    given: dict[str, Path]

    @property
    def names(self) -> list[str]:
        """The clients' names."""
        return list(self.given)

    @property
    def told(self) -> str:
        """What a person is told of them."""
        test = self.test_file.name if self.test_file.exists() else "none"
        names = ", ".join(path.name for path in self.given.values())
        return f"{len(self.given)} parts ({names}); test set {test}"

    def file(self, name: str) -> Path:
        """Return what a client is handed: a file or a folder."""
        return self.given[name]


def hand_out(folder: Path, clients: int) -> Parts:
    """Hand the parts of a folder to the clients, in the order of their names; `test...` is the server's.

    Raises
    ------
    FedstackError
        When there are not as many parts as clients.
    """
    there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    tests = [path for path in there if path.stem == "test"]
    parts = [path for path in there if path not in tests]
    if len(parts) != clients:
        raise FedstackError(
            ExitCode.CONFIG,
            f"{folder} has {len(parts)} parts ({', '.join(path.name for path in parts[:10])}), and there are "
            f"{clients} clients.",
            "Put one file or folder per client there, and the server's test set as test.csv, if any.",
        )
    given = {f"silo-{number}": path for number, path in enumerate(parts)}
    return Parts(folder, tests[0] if tests else folder / "test.csv", given)


def divide(
    data: Path | None, *, clients: int, how: Split, seed: int
) -> tuple[Dataset, Dataset, list[Dataset]]:
    """Read a data set, or make the stand-in, and cut it; return the test set, the rest, and the rest's parts.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, when it cannot be read or cut so.
    """
    whole = (
        load_csv(data, schema_of(data)) if data else generate(max(ROWS, FEWEST_PER_CLIENT * clients), seed)
    )
    rest, test = hold_out(whole, TEST_FRACTION, seed)
    return test, rest, split(rest, clients, how, seed)


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
    test, rest, parts = divide(data, clients=clients, how=how, seed=seed)
    made = Silos(
        folder=folder / "silos",
        test_file=folder / "test.csv",
        test=test,
        silos={f"silo-{number}": part for number, part in enumerate(parts)},
        rest=rest,
    )
    made.folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, made.folder):
        test.schema.save(place)
    save_csv(made.test_file, test)
    for name, part in made.silos.items():
        save_csv(made.file(name), part)
    return made
