"""How a tree grows, node by node, from histograms of all rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from runtime.tabular.trees.ensemble import DEPTH, NO_SPLIT, NODES, SPLITS, Floats
from runtime.tabular.trees.histograms import UNIT, Bins, Question, Whole

TIE: Final = 1e-9
"""Gains that differ by less than this part are equal: the first feature and the lowest threshold win."""


@dataclass(eq=False)
class Forest:
    """Trees that grow side by side from the same gradients, each from features of its own.

    A split's gain is the fall of the loss's parabola: G²/(H + lambda) of both children less that of the
    parent (Chen and Guestrin, "XGBoost: a scalable tree boosting system", KDD 2016). All sums are in whole
    units, so they are exact.

    Parameters
    ----------
    features
        Of each tree, increasing: shape (trees, m).
    penalty
        lambda, the L2 penalty on a leaf's value.
    least
        Hessian, in units, that a child needs.
    """

    features: Whole
    penalty: float
    least: int
    level: int = 0
    split: Whole = field(init=False)
    bin: Whole = field(init=False)
    gradient: Whole = field(init=False)
    weight: Whole = field(init=False)
    _cells: dict[tuple[int, int], tuple[Whole, Whole]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        trees = len(self.features)
        self.split = np.full((trees, SPLITS), NO_SPLIT, dtype=np.int64)
        self.bin = np.zeros((trees, SPLITS), dtype=np.int64)
        self.gradient, self.weight = (np.zeros((trees, NODES), dtype=np.int64) for _ in range(2))

    def question(self) -> Question:
        """Return what to ask next."""
        return Question(self.level, self.features, self.split, self.bin, self.weight)

    @property
    def grown(self) -> bool:
        """Whether there is nothing left to ask."""
        return self.level >= DEPTH or (self.level > 0 and not self.question().parents())

    def take(self, gradients: Whole, weights: Whole, bins: Bins) -> None:
        """Take the histograms that were asked for and split what can be split."""
        if not self.level:
            self._take_roots(gradients, weights, bins)
        else:
            self._take_children(gradients, weights, bins)
        for (tree, node), cells in self._cells.items():
            self._split(tree, node, cells, bins)
        self.level += 1

    def _take_roots(self, gradients: Whole, weights: Whole, bins: Bins) -> None:
        """Give every tree its features' part of the histogram that all have in common."""
        union = self.question().all_features()
        starts = np.concatenate([[0], np.cumsum(bins.cells(union))]) + 1
        for tree, features in enumerate(self.features):
            ours = np.searchsorted(union, features)
            places = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in ours])
            self.gradient[tree, 0], self.weight[tree, 0] = gradients[0], weights[0]
            self._cells[tree, 0] = gradients[places], weights[places]

    def _take_children(self, gradients: Whole, weights: Whole, bins: Bins) -> None:
        """Take the left children's histograms; the right ones' are what is left of the parents'."""
        before, self._cells, start = self._cells, {}, 0
        for tree, parent in self.question().parents():
            end = start + int(bins.cells(self.features[tree]).sum())
            left = gradients[start:end], weights[start:end]
            whole = before[tree, parent]
            self._cells[tree, 2 * parent + 1] = left
            self._cells[tree, 2 * parent + 2] = whole[0] - left[0], whole[1] - left[1]
            start = end

    def _split(self, tree: int, node: int, cells: tuple[Whole, Whole], bins: Bins) -> None:
        """Split a node where that gains most, if it gains anything, and note its children's sums."""
        features = self.features[tree]
        sizes = bins.cells(features)
        feature = np.repeat(features, sizes)
        place = np.concatenate([np.arange(size) for size in sizes]) if len(sizes) else np.zeros(0, np.int64)
        left = [_below(part, sizes) for part in cells]
        right = [
            whole[tree, node] - part for whole, part in zip((self.gradient, self.weight), left, strict=True)
        ]
        gain = (
            self._worth(*left)
            + self._worth(*right)
            - self._worth(self.gradient[tree, node], self.weight[tree, node])
        )
        gain[(left[1] < self.least) | (right[1] < self.least)] = -np.inf
        if not len(gain) or not gain.max() > TIE:
            return
        best = int(np.flatnonzero(gain >= gain.max() * (1 - TIE))[0])
        self.split[tree, node], self.bin[tree, node] = feature[best], place[best]
        for side, (g, h) in enumerate((left, right), start=1):
            self.gradient[tree, 2 * node + side], self.weight[tree, 2 * node + side] = g[best], h[best]

    def _worth(self, gradient: Whole, weight: Whole) -> Floats:
        """Return by how much a leaf of these sums lowers the loss, twice over."""
        return np.asarray((gradient * UNIT) ** 2 / (weight * UNIT + self.penalty))

    def trees(self, bins: Bins, step: float) -> tuple[Whole, Floats, Floats]:
        """Return features, thresholds and values of the trees; a leaf goes so far of its own best step."""
        threshold = np.zeros(self.split.shape)
        for tree, node in zip(*np.nonzero(self.split != NO_SPLIT), strict=True):
            threshold[tree, node] = bins.edges[self.split[tree, node]][self.bin[tree, node]]
        value = -step * (self.gradient * UNIT) / (self.weight * UNIT + self.penalty)
        return self.split, threshold, value


def _below(cells: Whole, sizes: Whole) -> Whole:
    """Return for every threshold the sum of the cells up to it, feature by feature."""
    parts = np.split(cells, np.cumsum(sizes)[:-1])
    return np.concatenate([np.cumsum(part) for part in parts]) if len(parts) else cells
