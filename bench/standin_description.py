"""Describe the CMS file for the stand-in: how runtime/tabular/data/standin.json was made.

    python bench/standin_description.py --data processed_data_classification_v2.csv --json standin.json

Writes aggregates only, rounded: per latent number 13 quantiles, and per label the mean, the loadings on 8
factors and the remaining noise of its normal scores. Duplicate rows count once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from runtime.tabular.data.dataset import Dataset, load_csv
from runtime.tabular.data.schema import CMS
from runtime.tabular.data.standin import FRACTIONAL, QUANTITIES

Array = npt.NDArray[np.float64]

RANK = 8
SCORES = np.linspace(-3, 3, 13)
SHRINK = 0.98
"""Takes back what the noise of so few positives adds to the distance between the labels' means."""

COUNTED_BY = ("avg_suplr_sbmtd_chrg", "average_submitted_chrg_amt", "total_30_day_fill_count")
"""Per table, a quantity whose mean is not rounded, so that sum / mean is the number of rows."""


def latents(dataset: Dataset) -> dict[str, Array]:
    """Work out each provider's latent numbers, log1p, shape (n,) each; the last is `female`, 0 or 1."""
    column = dict(zip(CMS.features, dataset.x.T, strict=True))
    count = [np.round(column[f"{q}_sum"] / column[f"{q}_mean"]) for q in COUNTED_BY]
    mean = {q: column[f"{q}_sum"] / count[table] for q, table in QUANTITIES}
    named = {f"rows of table {at}": n for at, n in enumerate(count)}
    named |= {f"{q} mean": mean[q] for q, _ in QUANTITIES}
    for quantity, table in QUANTITIES:
        deviation = column[f"{quantity}_standard_deviation"]
        if quantity not in FRACTIONAL:
            deviation = np.where(count[table] > 1, deviation + 0.5, 0.0)  # the file rounds down
        named[f"{quantity} ratio"] = deviation / np.maximum(mean[quantity], 0.01)
    return {name: np.log1p(values) for name, values in named.items()} | {"female": column["female"]}


def normal_scores(values: Array, rng: np.random.Generator) -> Array:
    """Rank the values, ties at random, and return the normal quantiles of the ranks."""
    ranks = np.lexsort((rng.random(len(values)), values)).argsort()
    return np.asarray(norm.ppf((ranks + 0.5) / len(values)), dtype=np.float64)


def factors(covariance: Array) -> tuple[Array, Array]:
    """Fit loadings (l, RANK) and noise (l,) by iterated principal factors."""
    variance = np.diag(covariance)
    unique = 0.3 * variance
    for _ in range(100):
        values, vectors = np.linalg.eigh(covariance - np.diag(unique))
        loadings = vectors[:, -RANK:] * np.sqrt(np.maximum(values[-RANK:], 0))
        unique = np.maximum(variance - (loadings**2).sum(axis=1), 0.01)
    return loadings, np.sqrt(unique)


def describe(dataset: Dataset) -> dict[str, object]:
    """Reduce the data set to the stand-in's description."""
    _, first = np.unique(np.column_stack([dataset.x, dataset.y]), axis=0, return_index=True)
    dataset = dataset.take(first)
    named = latents(dataset)
    rng = np.random.default_rng(0)
    z = np.array([normal_scores(values, rng) for values in named.values()])
    per_label = [z[:, dataset.y == label] for label in (0, 1)]
    means = [SHRINK * part.mean(axis=1) for part in per_label]
    fitted = [factors(np.cov(part)) for part in per_label]
    described: dict[str, object] = {}
    for at, (name, values) in enumerate(named.items()):
        quantiles = np.quantile(values, norm.cdf(SCORES))
        if name == "female":  # the score above which a provider is a woman
            quantiles = np.full(len(SCORES), norm.ppf(1 - values.mean()))
        described[name] = {
            "quantiles": quantiles.round(4).tolist(),
            "mean": [float(mean[at].round(3)) for mean in means],
            "loadings": [loadings[at].round(3).tolist() for loadings, _ in fitted],
            "noise": [float(noise[at].round(3)) for _, noise in fitted],
        }
    return {"scores": SCORES.tolist(), "latents": described}


def write(description: dict[str, object], path: Path) -> None:
    """Write the description with one line per latent number."""
    latent_lines = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(latent)}"
        for name, latent in dict(description["latents"]).items()  # type: ignore[call-overload]
    )
    scores = json.dumps(description["scores"])
    path.write_text(
        f'{{\n  "scores": {scores},\n  "latents": {{\n{latent_lines}\n  }}\n}}\n', encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the curated CMS file")
    parser.add_argument("--json", type=Path, required=True, help="where the description goes")
    options = parser.parse_args()
    write(describe(load_csv(options.data, CMS)), options.json)


if __name__ == "__main__":
    main()
