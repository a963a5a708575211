"""A stand-in for the CMS file: same schema, marginals and difficulty, and no provider in it.

Each provider has a number of rows in each of three public tables; each quantity of a table has a mean over
those rows and a spread relative to it. These latent numbers are drawn from a Gaussian copula per label
(`standin.json`: quantiles, means and a rank-8 correlation, which bench/standin_description.py took from the
real file), and the columns follow from them, so that sum, mean and standard deviation agree.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.schema import CMS, DMEPOS, PART_B, PART_D

TABLES: Final = (DMEPOS, PART_B, PART_D)
QUANTITIES: Final = tuple((quantity, at) for at, table in enumerate(TABLES) for quantity in table)
"""Each quantity with the number of its table."""

FRACTIONAL: Final = frozenset(
    {
        "avg_suplr_sbmtd_chrg",
        "avg_suplr_mdcr_pymt_amt",
        "average_submitted_chrg_amt",
        "average_medicare_payment_amt",
        "total_30_day_fill_count",
        "total_drug_cost",
    }
)
"""Quantities that are amounts; the columns of all others are whole numbers, rounded down."""

ROWS: Final = 5_500
POSITIVE: Final = 1 / 11
DUPLICATES: Final = 38 / 5_500
"""Share of the rows that repeat another one; in the real file these are all positive."""

TAILS: Final = 0.2
"""How much heavier than Gaussian the copula is: log-scale deviation of each provider's distance."""

FEWEST_ROWS: Final = 22

Array = npt.NDArray[np.float64]


class _Latent(NamedTuple):
    """The latent numbers in the order of the description: l of them, q quantiles, two labels, rank r."""

    scores: Array  # (q,): the normal scores at which the quantiles lie
    quantiles: Array  # (l, q): log1p values; for `female` the share of women, repeated
    mean: Array  # (2, l): normal scores per label
    cholesky: Array  # (2, l, l): of their covariance per label


def generate(rows: int = ROWS, seed: int = 0) -> Dataset:
    """Draw providers that look like those of the CMS file.

    Parameters
    ----------
    rows
        How many, at least 22; 1 in 11 is positive.
    seed
        The same seed gives the same rows.

    Returns
    -------
    Dataset
        x of shape (rows, 49) in the order of `CMS.features`, y of shape (rows,).
    """
    if rows < FEWEST_ROWS:
        raise FedstackError(
            ExitCode.CONFIG,
            f"A stand-in of {rows} rows was asked for.",
            f"Ask for at least {FEWEST_ROWS}, so that two are positive.",
        )
    rng = np.random.default_rng(seed)
    positives, repeats = round(rows * POSITIVE), round(rows * DUPLICATES)
    latent = _description()
    distinct = (rows - positives, positives - repeats)
    z = [
        latent.mean[label] + _deviates(count, rng, latent.mean.shape[1]) @ latent.cholesky[label].T
        for label, count in enumerate(distinct)
    ]
    x, y = _columns(np.concatenate(z), latent), np.repeat((0, 1), distinct)
    repeated = rng.integers(distinct[0], len(y), size=(repeats + 1) // 2)  # about two copies each
    source = np.concatenate([np.arange(len(y)), np.resize(repeated, repeats)])
    return Dataset(x[source], y[source].astype(np.int64)).take(rng.permutation(rows))


@cache
def _description() -> _Latent:
    """Read the committed description of the real file's distribution."""
    described = json.loads(Path(__file__).with_name("standin.json").read_text(encoding="utf-8"))
    latents = described["latents"].values()
    loadings = np.array([latent["loadings"] for latent in latents]).swapaxes(0, 1)
    noise = np.array([latent["noise"] for latent in latents]).T
    covariance = loadings @ loadings.swapaxes(1, 2) + noise[:, :, None] ** 2 * np.eye(noise.shape[1])
    return _Latent(
        scores=np.array(described["scores"]),
        quantiles=np.array([latent["quantiles"] for latent in latents]),
        mean=np.array([latent["mean"] for latent in latents]).T,
        cholesky=np.linalg.cholesky(covariance),
    )


def _deviates(rows: int, rng: np.random.Generator, width: int) -> Array:
    """Draw uncorrelated deviates with heavy tails: shape (rows, width).

    With rows enough, mean 0 and covariance 1 hold exactly in the sample, so that one seed is about as
    hard to classify as the next.
    """
    e = rng.standard_normal((rows, width))
    e *= np.exp(TAILS * rng.standard_normal((rows, 1)) - TAILS**2)
    if rows < 10 * width:
        return e
    e -= e.mean(axis=0)
    return np.linalg.solve(np.linalg.cholesky(e.T @ e / rows), e.T).T


def _columns(z: Array, latent: _Latent) -> Array:
    """Turn normal scores of shape (n, l) into the features, shape (n, 49)."""
    *numeric, women = latent.quantiles
    values = np.expm1([np.interp(score, latent.scores, q) for score, q in zip(z.T, numeric, strict=False)])
    counts = np.maximum(1.0, np.round(values[: len(TABLES)]))
    means, ratios = np.split(values[len(TABLES) :], 2)
    columns = {"female": (z[:, -1] > women[0]).astype(np.float64)}
    for (quantity, table), mean, ratio in zip(QUANTITIES, means, ratios, strict=True):
        count = counts[table]
        ratio = np.where(count > 1, np.minimum(ratio, np.sqrt(count)), 0.0)  # the most it can be
        total = np.round(mean * count, 2 if quantity in FRACTIONAL else 0)
        trim = (lambda v: np.round(v, 6)) if quantity in FRACTIONAL else np.floor
        columns[f"{quantity}_sum"] = total
        columns[f"{quantity}_mean"] = trim(total / count)
        columns[f"{quantity}_standard_deviation"] = trim(ratio * total / count)
    return np.column_stack([columns[name] for name in CMS.features])
