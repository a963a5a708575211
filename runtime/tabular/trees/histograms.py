"""Sums of gradients and Hessians over bins, of the rows in each node of trees that are being grown.

What is summed are whole multiples of 2^-20, so every sum is exact in whatever order, and over however many
silos, it is taken: that is why one silo or ten grow the same trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from runtime.tabular.trees.ensemble import DEPTH, NO_SPLIT, NODES, SPLITS, Floats

UNIT: Final = 2.0**-20
"""What a row's gradient and Hessian are rounded to."""

WEIGHT_OF_ROW: Final = 2**18
"""Units of Hessian that a row has at most: p (1 - p) is a quarter at most."""

MOST_WEIGHT: Final = 2**44
"""Units that a claim may say."""

MOST_TREES: Final = 16
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bins:
    """The run's bins: for each feature the thresholds, increasing, between which its rows are counted."""

    edges: tuple[Floats, ...]

    def of(self, z: Floats) -> Whole:
        """Return each row's bin of each feature, shape (n, d): bin b is up to threshold b."""
        if not self.edges:
            return np.zeros(z.shape, dtype=np.int64)
        columns = [np.searchsorted(edges, z[:, f], side="left") for f, edges in enumerate(self.edges)]
        return np.column_stack(columns).astype(np.int64)

    def cells(self, features: Whole) -> Whole:
        """Return how many cells of each of some features are told: all but the last."""
        return np.array([len(self.edges[f]) for f in features], dtype=np.int64)

    def to_config(self) -> dict[str, Any]:
        """Return the settings that travel."""
        flat = np.concatenate([*self.edges, np.zeros(0)])
        return {"bin-edges": flat.tolist(), "bin-counts": [len(edges) for edges in self.edges]}


def read_grid(config: Mapping[str, Any], values: str, sizes: str, features: int) -> tuple[Floats, ...]:
    """Read for each feature an increasing list of numbers.

    Raises
    ------
    ValueError
        When it is none.
    """
    flat = np.asarray(config.get(values), dtype=np.float64).reshape(-1)
    counts = np.asarray(config.get(sizes), dtype=np.int64).reshape(-1)
    if (
        len(counts) != features
        or (counts < 0).any()
        or counts.sum() != len(flat)
        or not np.isfinite(flat).all()
    ):
        raise ValueError(f"{values!r} and {sizes!r} do not go with {features} features")
    parts = tuple(np.split(flat, np.cumsum(counts)[:-1]))
    if any((np.diff(part) <= 0).any() for part in parts):
        raise ValueError(f"{values!r} does not increase")
    return parts


@dataclass(frozen=True, eq=False)
class Question:
    """Which histograms are asked for: of the roots at level 0, later of the left child of every split.

    The right child's is what is left of its parent's, so it need not leave.

    Parameters
    ----------
    level
        How deep the nodes are.
    features
        The features of each tree, increasing: shape (trees, m).
    split, bin
        By node, the feature that it is split on (or -1) and the bin up to which rows go left: (trees, 7).
    weight
        By node, the Hessian in units that all members' rows in it have together: (trees, 15).
    """

    level: int
    features: Whole
    split: Whole
    bin: Whole
    weight: Whole

    def parents(self) -> list[tuple[int, int]]:
        """Return the splits whose children are asked about, as trees and nodes."""
        nodes = range(2 ** (self.level - 1) - 1, 2**self.level - 1) if self.level else ()
        return [(t, i) for t in range(len(self.split)) for i in nodes if self.split[t, i] != NO_SPLIT]

    def all_features(self) -> Whole:
        """Return the features of any tree: those of the roots, which are the same rows in all trees."""
        return np.unique(self.features)

    def size(self, bins: Bins) -> int:
        """Return how many cells are asked for."""
        if not self.level:
            return 1 + int(bins.cells(self.all_features()).sum())
        return sum(int(bins.cells(self.features[tree]).sum()) for tree, _ in self.parents())

    def to_config(self) -> dict[str, Any]:
        """Return the settings that travel."""
        told = {"features": self.features, "split": self.split, "bin": self.bin, "weight": self.weight}
        flat = {f"tree-{name}": array.ravel().tolist() for name, array in told.items()}
        return {"tree-level": self.level, "tree-count": len(self.split), **flat}

    @classmethod
    def read(cls, config: Mapping[str, Any], bins: Bins) -> Question:
        """Read and check a question.

        Raises
        ------
        ValueError
            Naming what is wrong.
        """
        level, count = config.get("tree-level"), config.get("tree-count")
        if type(level) is not int or not 0 <= level < DEPTH:
            raise ValueError(f"trees have levels 0 to {DEPTH - 1}")
        if type(count) is not int or not 1 <= count <= MOST_TREES:
            raise ValueError(f"1 to {MOST_TREES} trees are grown at once")
        told = {n: np.asarray(config.get(f"tree-{n}"), dtype=np.int64) for n in _TOLD}
        made = cls(level, **{name: array.reshape(count, _TOLD[name]) for name, array in told.items()})
        wide = len(bins.edges)
        if not ((made.features >= 0) & (made.features < wide)).all() or (np.diff(made.features) <= 0).any():
            raise ValueError("the features of a tree are not increasing numbers of features")
        for tree, node in zip(*np.nonzero(made.split != NO_SPLIT), strict=True):
            feature, place = made.split[tree, node], made.bin[tree, node]
            if not (0 <= feature < wide and 0 <= place < len(bins.edges[feature])):
                raise ValueError("a split is at none of the run's thresholds")
            if node and made.split[tree, (node - 1) // 2] == NO_SPLIT:
                raise ValueError("a split hangs below a node that is not split")
        if not ((made.weight >= 0) & (made.weight < MOST_WEIGHT)).all():
            raise ValueError("a node's weight is out of range")
        return made


_TOLD: Final = {"features": -1, "split": SPLITS, "bin": SPLITS, "weight": NODES}


@dataclass(frozen=True, eq=False)
class Histograms:
    """A silo's answer.

    Parameters
    ----------
    gradients, weights
        Sums over each cell: shape (size,); at level 0 the first is over all rows.
    left, right
        For each cell the silo's own Hessian, in units, in its node and in that node's sibling.
    claimed_left, claimed_right
        The same of all members, as the question claims.
    groups
        Own rows of each node and sibling, and how many of all members' rows those have at least.
    """

    gradients: Floats
    weights: Floats
    left: Whole
    right: Whole
    claimed_left: Whole
    claimed_right: Whole
    groups: tuple[Whole, Whole]


def residuals(margin: Floats, y: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return each row's gradient and Hessian of the log loss, in whole units."""
    p = expit(margin)
    return np.rint((p - y) / UNIT), np.rint(p * (1 - p) / UNIT)


def histograms(question: Question, bins: Bins, z: Floats, gradient: Floats, weight: Floats) -> Histograms:
    """Sum a silo's gradients and Hessians, given in units, over the cells that are asked for."""
    binned = bins.of(z)
    if not question.level:
        features = question.all_features()
        cells = [_cells(bins, features, binned, each) for each in (gradient, weight)]
        sums = [
            np.append(each.sum(), told) * UNIT for each, told in zip((gradient, weight), cells, strict=True)
        ]
        none, nobody = np.zeros(len(sums[0]), dtype=np.int64), np.zeros(0, dtype=np.int64)
        return Histograms(sums[0], sums[1], none, none, none, none, (nobody, nobody))
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [np.zeros(0)] for name in _PARTS}
    own, summed = list[int](), list[int]()
    nodes = {tree: _nodes(question, tree, binned) for tree in {tree for tree, _ in question.parents()}}
    for tree, parent in question.parents():
        children = [np.flatnonzero(nodes[tree] == 2 * parent + side) for side in (1, 2)]
        features, rows = question.features[tree], children[0]
        for name, each in (("gradients", gradient), ("weights", weight)):
            parts[name].append(_cells(bins, features, binned[rows], each[rows]) * UNIT)
        size = int(bins.cells(features).sum())
        for side, name in enumerate(("left", "right")):
            claim = int(question.weight[tree, 2 * parent + 1 + side])
            parts[name].append(np.full(size, weight[children[side]].sum()))
            parts[f"claimed_{name}"].append(np.full(size, claim))
            own.append(len(children[side]))
            summed.append(claim // WEIGHT_OF_ROW)
    whole = {name: np.concatenate(parts[name]) for name in _PARTS}
    claims = {name: whole[name].astype(np.int64) for name in _PARTS[2:]}
    return Histograms(
        whole["gradients"], whole["weights"], groups=(np.array(own), np.array(summed)), **claims
    )


_PARTS: Final = ("gradients", "weights", "left", "right", "claimed_left", "claimed_right")


def _nodes(question: Question, tree: int, binned: Whole) -> Whole:
    """Return the node of a tree that each row is in, as far as it has grown above the level: shape (n,)."""
    at = np.zeros(len(binned), dtype=np.int64)
    for _ in range(question.level):
        node = np.minimum(at, SPLITS - 1)
        feature = question.split[tree, node]
        splits = (at < SPLITS) & (feature != NO_SPLIT)
        right = binned[np.arange(len(binned)), feature] > question.bin[tree, node]
        at = np.where(splits, 2 * at + 1 + right, at)
    return at


def _cells(bins: Bins, features: Whole, binned: Whole, values: Floats) -> Floats:
    """Sum values over every bin but the last of each feature, one feature after the other."""
    sizes = bins.cells(features) + 1
    starts = np.cumsum(sizes) - sizes
    places = (binned[:, features] + starts).ravel()
    sums = np.bincount(places, np.repeat(values, len(features)), minlength=int(sizes.sum()))
    return np.delete(sums, starts + sizes - 1)
