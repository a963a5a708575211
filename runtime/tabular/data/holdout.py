"""Draw a border through a data set that no duplicate row straddles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime.tabular.data.dataset import Dataset


def beyond_border(dataset: Dataset, fraction: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Choose about a fraction of the rows of each label, or of all, identical feature rows all or none.

    A label with two or more different rows gets at least one on either side; one with a single
    different row stays on this side.

    Parameters
    ----------
    dataset
        n rows.
    fraction
        Share of the rows to choose, between 0 and 1.
    rng
        Where the choice comes from.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for the rows chosen.
    """
    group = _groups(dataset.x)
    sizes = np.bincount(group)
    stratum_of = np.zeros(len(sizes), dtype=np.int64)  # a group of several labels counts as the last
    np.maximum.at(stratum_of, group, dataset.strata())
    chosen = np.zeros(len(sizes), dtype=bool)
    for stratum in range(max(1, int(stratum_of.max(initial=0))), -1, -1):
        members = np.flatnonzero(stratum_of == stratum)
        chosen[_fill(rng.permutation(members), sizes, fraction)] = True
    return chosen[group]


def _groups(x: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Number the different rows of x by first occurrence: shape (n,)."""
    numbers: dict[bytes, int] = {}
    rows = np.ascontiguousarray(x) + 0.0  # -0.0 becomes 0.0
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in rows], dtype=np.int64)


def _fill(groups: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], fraction: float) -> list[int]:
    """Take groups in their order while they fit into the fraction of their rows; at least one if two."""
    if len(groups) < 2:
        return []
    room = max(1, round(fraction * int(sizes[groups].sum())))
    taken: list[int] = []
    for group in groups[np.argsort(sizes[groups] > room, kind="stable")].tolist():
        if len(taken) < len(groups) - 1 and (sizes[group] <= room or not taken):
            taken.append(group)
            room -= int(sizes[group])
    return taken
