"""Features as numbers for a model: logarithms, levels as columns of 0 and 1, indicators of missing values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.tabular.columns.columns import DAYS_PER_YEAR, LEVELLED, LOGGED, Column, Type

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Encoding:
    """What each encoded column is, in the order of the features; w columns of d features.

    A levelled feature has a column for each level but the first (and a category one for all that is no
    level), a feature that may be missing an indicator after its own columns. What is missing is encoded as 0.

    Parameters
    ----------
    names
        Of the encoded columns.
    sources
        The feature that each comes from, shape (w,).
    logged
        Which are a log1p, shape (w,).
    zero_one
        Which are 0 or 1, shape (w,).
    indicators
        For each column that a missing value leaves empty, that of its indicator; else -1, shape (w,).
    columns
        The typed features; empty for plain numbers.
    """

    names: tuple[str, ...]
    sources: npt.NDArray[np.int64]
    logged: npt.NDArray[np.bool_]
    zero_one: npt.NDArray[np.bool_]
    indicators: npt.NDArray[np.int64]
    columns: tuple[Column, ...] = ()

    @classmethod
    def of_numbers(cls, features: Sequence[str], as_is: Sequence[str]) -> Encoding:
        """Encode numbers: each is one column."""
        width, kept = len(features), set(as_is)
        logged = np.array([name not in kept for name in features])
        return cls(tuple(features), np.arange(width), logged, np.zeros(width, dtype=bool), np.full(width, -1))

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Encoding:
        """Encode typed features."""
        names, sources, indicators = list[str](), list[int](), list[int]()
        logged, zero_one = list[bool](), list[bool]()
        for source, column in enumerate(columns):
            own = own_names(column)
            indicator = len(names) + len(own) if column.missing else -1
            names += own
            logged += [column.type in LOGGED] * len(own)
            zero_one += [column.type in LEVELLED] * len(own)
            indicators += [indicator] * len(own)
            if column.missing:
                names.append(f"{column.name} missing")
                logged.append(False)
                zero_one.append(True)
                indicators.append(-1)
            sources += [source] * (len(names) - len(sources))
        arrays = (np.array(sources), np.array(logged), np.array(zero_one), np.array(indicators))
        return cls(tuple(names), *arrays, tuple(columns))

    @property
    def has_missing(self) -> bool:
        """Whether a value may be missing."""
        return bool((self.indicators >= 0).any())

    def encode(self, x: Matrix) -> Matrix:
        """Encode features of shape (n, d) to shape (n, w)."""
        if not self.columns:
            z = x.astype(np.float64)
            z[:, self.logged] = np.log1p(z[:, self.logged])
            return z
        parts: list[Matrix] = []
        for values, column in zip(x.T, self.columns, strict=True):
            absent = np.isnan(values)
            parts.append(np.where(absent[:, None], 0.0, _encoded(values, column)))
            if column.missing:
                parts.append(absent[:, None].astype(np.float64))
        return np.concatenate(parts, axis=1)

    def observed(self, encoded: Matrix) -> npt.NDArray[np.float64]:
        """Return of how many rows each encoded column knows the value: shape (w,)."""
        return self.observed_of(len(encoded), encoded.sum(axis=0))

    def observed_of(self, rows: int, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the same from the sums of the encoded columns over all rows."""
        absent = np.where(self.indicators >= 0, sums[self.indicators], 0.0)
        return np.asarray(rows - np.round(absent), dtype=np.float64)

    def fill(self, rows: int, mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return what stands for a missing value: the mean of a number, the most frequent level, shape (w,).

        Parameters
        ----------
        mean
            Of each encoded column over the rows that know it, shape (w,).
        """
        filled = np.where(self.indicators >= 0, mean, 0.0)
        for source, column in enumerate(self.columns):
            own = np.flatnonzero((self.sources == source) & (self.indicators >= 0))
            if column.type in LEVELLED and len(own):
                shares = np.concatenate([[1.0 - mean[own].sum()], mean[own]])
                most = int(np.argmax(shares > shares.max() - 0.5 / max(1, rows)))  # the first of equals
                filled[own] = np.arange(1, len(shares)) == most
        return filled

    def filled(self, encoded: Matrix, fill: npt.NDArray[np.float64] | None) -> Matrix:
        """Put what stands for a missing value where one is: shape (n, w)."""
        there = np.flatnonzero(self.indicators >= 0)
        if fill is None or not len(there):
            return encoded
        made = encoded.copy()
        made[:, there] += encoded[:, self.indicators[there]] * fill[there]
        return made


def own_names(column: Column) -> list[str]:
    """Name the encoded columns of a feature but for its indicator."""
    if column.type in LEVELLED:
        own = [f"{column.name}={level}" for level in column.levels[1:]]
        return own + [f"{column.name}=(other)"] * (column.type is Type.CATEGORY)
    unit = " (years)" if column.type is Type.DATE else ""
    return [f"{column.name}{unit}"]


def _encoded(values: npt.NDArray[np.float64], column: Column) -> Matrix:
    if column.type in LEVELLED:
        return np.asarray(values[:, None] == np.arange(1, column.buckets), dtype=np.float64)
    if column.type is Type.DATE:
        values = (column.reference_day - values) / DAYS_PER_YEAR
    return np.asarray((np.log1p(values) if column.type in LOGGED else values)[:, None], dtype=np.float64)
