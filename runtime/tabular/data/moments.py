"""The federated scaler: what each client shares of its features, and how the server merges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.tabular.data.diagnosis import LARGEST_VALUE, data_error
from runtime.tabular.data.schema import CMS, Schema

LARGEST_COUNT: Final = 10**9
LARGEST_LOG: Final = float(np.log1p(LARGEST_VALUE))
SLACK: Final = 1e-9
"""What rounding may add to a bound that honest data can reach."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """How encoded features are standardised: (z - mean) / scale, both of shape (w,).

    Parameters
    ----------
    fill
        What stands for a missing value in each encoded column, shape (w,); None where none may be missing.
    """

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    fill: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and squared deviations of encoded features: all that a client shares of them.

    Worth the same as count, sum and sum of squares, without their cancellation. Mean and deviations of a
    column are over the rows whose value is known; how many those are its indicator's mean says.

    Parameters
    ----------
    count
        Number of rows.
    mean
        Mean of each feature, encoded as its schema says, shape (w,).
    m2
        Sum of squared deviations from that mean, shape (w,).
    schema
        What the features are.
    """

    count: int
    mean: npt.NDArray[np.float64]
    m2: npt.NDArray[np.float64]
    schema: Schema = CMS

    @property
    def observed(self) -> npt.NDArray[np.float64]:
        """Of how many rows each column's value is known, shape (w,)."""
        encoding = self.schema.encoding
        if not encoding.has_missing:
            return np.full(len(self.mean), float(self.count))
        return encoding.observed_of(self.count, self.count * self.mean)

    @classmethod
    def of(cls, x: npt.NDArray[np.float64], schema: Schema = CMS) -> Moments:
        """Take the moments of raw features of shape (n, d), n at least 1."""
        if len(x) == 0:
            raise data_error("There are no rows to take the moments of.", "Give the client data to train on.")
        z = schema.transform(x)
        if schema.encoding.has_missing:
            known = schema.encoding.observed(z)
            mean = z.sum(axis=0) / np.maximum(known, 1.0)
            at = schema.encoding.indicators
            absent = np.where(at >= 0, z[:, at], 0.0)
            return cls(len(z), mean, ((z - mean) ** 2 * (1.0 - absent)).sum(axis=0), schema)
        mean = z.mean(axis=0)
        z -= mean
        return cls(len(z), mean, (z**2).sum(axis=0), schema)

    def scaler(self) -> Scaler:
        """Return what scikit-learn's SimpleImputer and StandardScaler would learn from the same rows.

        Including its rule for a column that is constant but for rounding: scale 1.0 where the variance
        does not exceed the error bound of Chan, Golub and LeVeque (1983).
        """
        encoding = self.schema.encoding
        mean, m2, fill = self.mean.copy(), self.m2, None
        if encoding.has_missing:
            known = self.observed
            fill, absent = encoding.fill(self.count, mean), self.count - known
            imputed = (known * mean + absent * fill) / self.count
            # An absent row lies at the fill: the parallel variance of those rows and the others.
            m2 = m2 + known * (mean - imputed) ** 2 + absent * (fill - imputed) ** 2
            mean = imputed
        variance = m2 / self.count
        eps = np.finfo(np.float64).eps
        rounding = self.count * eps * variance + (self.count * mean * eps) ** 2
        scale = np.where(variance <= rounding, 1.0, np.sqrt(variance))
        return Scaler(mean, scale, fill)

    def check(self, schema: Schema = CMS) -> None:
        """Refuse moments that no rows of the schema can have.

        Raises
        ------
        FedstackError
            With ExitCode.DATA, naming what is wrong and in which column.
        """
        width = schema.width
        if not 1 <= self.count <= LARGEST_COUNT:
            raise _refusal(f"the count is {self.count}, not within 1 and {LARGEST_COUNT}")
        least = np.where(schema.logged, 0.0, -LARGEST_VALUE)
        most = np.where(schema.logged, LARGEST_LOG, LARGEST_VALUE)
        least, most = (
            np.where(schema.encoding.zero_one, 0.0, least),
            np.where(schema.encoding.zero_one, 1.0, most),
        )
        spread = self.count * (most - least) ** 2 / 4  # Popoviciu's inequality
        bounds = (("mean", self.mean, least, most), ("m2", self.m2, np.zeros(width), spread))
        for name, values, low, high in bounds:
            if values.shape != (width,):
                raise _refusal(f"{name} has shape {values.shape} where ({width},) belongs")
            inside = (values >= low - SLACK * abs(low)) & (values <= high + SLACK * abs(high))
            wrong = np.flatnonzero(~inside)  # NaN compares false
            if len(wrong):
                at = wrong[0]
                raise _refusal(
                    f"{name} of {schema.encoding.names[at]!r} is {values[at]}, "
                    f"not within {low[at]:.6g} and {high[at]:.6g}"
                )

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays that travel: count of shape (1,), mean and m2 of shape (d,)."""
        return {"count": np.array([self.count], dtype=np.int64), "mean": self.mean, "m2": self.m2}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]], schema: Schema = CMS) -> Moments:
        """Take the arrays that another party sent, and check them."""
        if set(arrays) != {"count", "mean", "m2"}:
            raise _refusal(f"the arrays are {sorted(arrays)} where count, m2 and mean belong")
        count = arrays["count"]
        if count.shape != (1,) or count.dtype != np.int64:
            raise _refusal(f"count is {count.dtype} of shape {count.shape} where int64 of shape (1,) belongs")
        for name in ("mean", "m2"):
            if arrays[name].dtype != np.float64:
                raise _refusal(f"{name} is {arrays[name].dtype} where float64 belongs")
        moments = cls(
            int(count[0]),
            np.asarray(arrays["mean"], dtype=np.float64),
            np.asarray(arrays["m2"], dtype=np.float64),
            schema,
        )
        moments.check(schema)
        return moments


def merge(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all rows together from those of each part.

    The parallel variance of Chan, Golub and LeVeque ("Algorithms for computing the sample variance",
    The American Statistician 37.3, 1983), for any number of parts at once: no sum of squares is formed.

    Parameters
    ----------
    parts
        One or more, of the same width d.
    """
    if not parts:
        raise data_error("There are no moments to merge.", "Wait for at least one client.")
    counts = np.stack([part.observed for part in parts])
    means = np.stack([part.mean for part in parts])
    mean = (counts * means).sum(axis=0) / np.maximum(counts.sum(axis=0), 1.0)
    between = (counts * (means - mean) ** 2).sum(axis=0)
    within = np.stack([part.m2 for part in parts]).sum(axis=0)
    return Moments(sum(part.count for part in parts), mean, within + between, parts[0].schema)


def _refusal(what: str) -> Exception:
    """Make the error of moments that cannot be true."""
    return data_error(f"The moments are impossible: {what}.", "Check the data of the client that sent them.")
