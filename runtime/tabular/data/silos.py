"""Make silos of one data set, as a rehearsal needs them, and a test set that no silo holds."""

from __future__ import annotations

import enum
from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.diagnosis import clipped, data_error
from runtime.tabular.data.holdout import beyond_border

FEW: Final = 5
"""Rows of each label that every silo gets before the rest is dealt unevenly, if there are so many."""

CONCENTRATION: Final = 0.5
"""Dirichlet parameter of the label skew (Hsu et al. 2019, arXiv:1909.06335); smaller is more uneven."""

BLUR: Final = 0.5
"""Standard deviations of noise on the size that a feature skew cuts by: real silos overlap."""

SIZE_RANGE: Final = 20.0
"""How many times larger the largest silo of a size skew is than the smallest."""


class Split(enum.StrEnum):
    """How the silos differ from each other."""

    IID = "iid"
    LABEL = "label"
    FEATURE = "feature"
    SIZE = "size"


def split(dataset: Dataset, clients: int, how: Split, seed: int) -> list[Dataset]:
    """Deal every row to exactly one of the clients.

    Each label is dealt on its own, so every silo has both labels whenever there are enough rows:
    at random in equal parts (iid), in parts drawn from a Dirichlet distribution per label (label), by the
    provider's size (feature), or in parts of geometric sizes (size).

    Parameters
    ----------
    dataset
        n rows.
    clients
        Number of silos, 1 to n.
    how
        How the silos differ.
    seed
        The same seed gives the same silos.

    Returns
    -------
    list of Dataset
        One per client, none empty, each in the order of the data set.
    """
    if clients < 1:
        raise FedstackError(ExitCode.CONFIG, f"{clients} clients were asked for.", "Ask for one or more.")
    if clients > len(dataset):
        raise data_error(
            f"{len(dataset)} rows cannot be split over {clients} clients.",
            "Ask for at most as many clients as there are rows.",
        )
    rng = np.random.default_rng(seed)
    rank = _blurred_size(dataset, rng) if how is Split.FEATURE else rng.random(len(dataset))
    cut = np.argsort(np.argsort(rank, kind="stable"), kind="stable") * clients // len(dataset)
    parts: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(clients)]
    strata = dataset.strata()
    for label in range(1 + max(1, int(strata.max()))):
        rows = np.flatnonzero(strata == label)
        # A cut by size keeps what a size says about the label: each part gets the label's rows that it has.
        among = np.bincount(cut[rows], minlength=clients) / max(1, len(rows))
        counts = _apportion(len(rows), among if how is Split.FEATURE else _shares(clients, how, rng))
        dealt = np.split(rows[np.argsort(rank[rows], kind="stable")], np.cumsum(counts)[:-1])
        for part, some in zip(parts, dealt, strict=True):
            part.append(some)
    silos = _without_empty([np.concatenate(part) for part in parts])
    return [dataset.take(np.sort(rows)) for rows in silos]


def hold_out(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Set aside a test set that has all labels and no row that also occurs in the rest.

    Parameters
    ----------
    dataset
        n rows.
    fraction
        Share of each label's rows that goes to the test set, above 0 and below 1.
    seed
        The same seed gives the same test set.

    Returns
    -------
    (Dataset, Dataset)
        The rest and the test set, each in the order of the data set.
    """
    if not 0 < fraction < 1:
        raise FedstackError(
            ExitCode.CONFIG, f"The test fraction is {fraction}.", "Give one above 0 and below 1, such as 0.2."
        )
    test = beyond_border(dataset, fraction, np.random.default_rng(seed))
    if not test.any():
        raise data_error(
            f"None of the {len(dataset)} rows can be held out: they do not differ in any feature.",
            "Give a data set with at least two different rows.",
        )
    strata = dataset.strata()
    for label, name in enumerate(dataset.schema.classes if dataset.schema.of_classes else ()):
        if not (test & (strata == label)).any():
            raise data_error(
                f"None of the {(strata == label).sum()} rows with the label {clipped(name)} can be held out.",
                "Give a data set with at least two different rows of each label, or leave that one out of "
                "its rows and of the schema's levels.",
            )
    return dataset.take(~test), dataset.take(test)


def _blurred_size(dataset: Dataset, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Rank rows by size, blurred: providers of one size are mostly, not only, in one silo. Shape (n,)."""
    size = _size_of_provider(dataset)
    return np.asarray(size + BLUR * size.std() * rng.standard_normal(len(dataset)), dtype=np.float64)


def _size_of_provider(dataset: Dataset) -> npt.NDArray[np.float64]:
    """Project onto the first principal component of the standardised features: shape (n,)."""
    z = dataset.transformed()
    z -= z.mean(axis=0)
    deviation = z.std(axis=0)
    z /= np.where(deviation > 0, deviation, 1.0)
    direction = np.linalg.eigh(z.T @ z)[1][:, -1]
    return np.asarray(z @ direction * np.sign(direction.sum() or 1.0), dtype=np.float64)


def _shares(clients: int, how: Split, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Say which share of a label's rows each client gets: shape (clients,), sum 1."""
    if how is Split.LABEL:
        return rng.dirichlet(np.full(clients, CONCENTRATION))
    weights = np.geomspace(SIZE_RANGE, 1.0, clients) if how is Split.SIZE else np.ones(clients)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _apportion(rows: int, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Turn shares into counts that add up to the rows, by largest remainder above an equal floor."""
    floor = min(FEW, rows // len(shares))
    exact = (rows - floor * len(shares)) * shares
    counts = np.floor(exact).astype(np.int64)
    left = rows - floor * len(shares) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return counts + floor


def _without_empty(silos: list[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.int64]]:
    """Give every empty silo a row of the largest one."""
    for at, silo in enumerate(silos):
        if len(silo) == 0:
            largest = max(range(len(silos)), key=lambda i: len(silos[i]))
            silos[at], silos[largest] = silos[largest][:1], silos[largest][1:]
    return silos
