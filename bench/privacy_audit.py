"""An empirical lower bound on epsilon: what an attacker can show that knows all rows but one.

python -m bench.privacy_audit [--json FILE] [--trials 10000]

A whole run's releases of the real mechanism, with and without a canary (a row of the clipping norm whose
label the model gets wrong), many times each. The attacker knows everything but whether the canary is there,
and takes the likelihood ratio of all releases. Thresholds are chosen on one half of the trials and judged on
the other, with Clopper and Pearson's bounds at 95 % (Jagielski, Ullman and Oprea, "Auditing differentially
private machine learning", NeurIPS 2020); a Gaussian mechanism's errors become epsilon by its own trade-off
(Nasr et al., "Tight auditing of differentially private machine learning", USENIX Security 2023). A mechanism
with half of the noise, and one that does not clip, must be caught.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.table import Table
from scipy.stats import beta, norm

from bench.tables import console, machine, save
from runtime.privacy import mechanism
from runtime.privacy.accountant import epsilon, noise_for
from runtime.privacy.mechanism import PrivateSilo, Terms

CLAIMS: Final = (1.0, 3.0, 8.0)
DELTA: Final = 1e-5
CLIP: Final = 7.0
RELEASES: Final = 6
ROWS, FEATURES = 30, 12
CONFIDENCE: Final = 0.95
Vector = npt.NDArray[np.float64]
Source = Callable[[int], bytes]


def bound(
    claim: float, trials: int, *, noise: float = 1.0, norm_of_canary: float = 1.0, source: Source = os.urandom
) -> float:
    """Return the lower bound on epsilon that an attacker shows.

    Parameters
    ----------
    claim
        The epsilon that the noise is made for.
    noise
        What the noise is multiplied with: less than one is a defect.
    norm_of_canary
        Norm of the canary in clipping norms, where the mechanism is made to forget clipping.
    """
    terms = Terms(noise_for(claim, DELTA, RELEASES) * noise, CLIP * norm_of_canary, DELTA)
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((ROWS, FEATURES))
    canary = np.zeros(FEATURES)
    canary[0] = math.sqrt((CLIP * norm_of_canary) ** 2 - 1)
    z, y = np.vstack([rows, canary]), np.append(rng.integers(0, 2, ROWS), 0)
    theta = np.append(np.append(6.0, np.zeros(FEATURES - 1)), 0.0)  # sure of the wrong label
    blank = np.vstack([rows, np.full(FEATURES, np.nan)])  # a broken row contributes nothing
    sides = [
        _releases(PrivateSilo(side, y, _noise_of(terms, norm_of_canary), source), theta, trials)
        for side in (z, blank)
    ]
    exact = [_mean(side, y, terms, theta) for side in (z, blank)]
    direction = exact[0] - exact[1]
    there, absent = (side @ direction for side in sides)
    return _bound(there, absent)


def _noise_of(terms: Terms, norm_of_canary: float) -> Terms:
    """Return terms whose noise is that of the clipping norm, though rows may be longer."""
    return Terms(terms.noise_multiplier / norm_of_canary, terms.clipping_norm, terms.delta)


def _releases(silo: PrivateSilo, theta: Vector, trials: int) -> Vector:
    """Return the sum of a run's releases in each trial: shape (trials, size of a release)."""
    return np.stack(
        [sum(_joint(silo, silo.curvature(theta)) for _ in range(RELEASES)) for _ in range(trials)]
    )


def _mean(z: Vector, y: npt.NDArray[np.int64], terms: Terms, theta: Vector) -> Vector:
    """Return a release without noise to speak of."""
    quiet = PrivateSilo(z, y, Terms(1e-3, terms.clipping_norm, terms.delta))
    return np.asarray(np.mean([_joint(quiet, quiet.curvature(theta)) for _ in range(50)], axis=0))


def _joint(silo: PrivateSilo, release: tuple[Vector, Vector]) -> Vector:
    """Return gradient and Hessian as the one vector to which noise was added."""
    gradient, hessian = release
    unit = mechanism._units(silo._terms.clipping_norm)
    upper, scale = np.triu_indices(len(gradient)), mechanism._off_diagonal(len(gradient))
    return np.concatenate([gradient / unit[0], hessian[upper] * scale / unit[1]])


def _bound(there: Vector, absent: Vector) -> float:
    """Return the best lower bound over thresholds, chosen on one half and judged on the other."""
    half = len(there) // 2
    candidates = np.quantile(np.concatenate([there[:half], absent[:half]]), np.linspace(0.01, 0.99, 99))
    best = max(candidates, key=lambda at: _gaussian(there[:half], absent[:half], at))
    return max(0.0, _gaussian(there[half:], absent[half:], best))


def _gaussian(there: Vector, absent: Vector, threshold: float) -> float:
    """Return the epsilon of the Gaussian trade-off that errors at a threshold are at least evidence of."""
    false_alarms, misses = (
        _at_most(int((absent > threshold).sum()), len(absent)),
        _at_most(int((there <= threshold).sum()), len(there)),
    )
    separation = float(norm.ppf(1 - false_alarms) - norm.ppf(misses))
    return epsilon(separation**2, DELTA) if separation > 0 else 0.0


def _at_most(count: int, of: int) -> float:
    """Return Clopper and Pearson's upper bound on a rate."""
    return float(beta.ppf(1 - (1 - CONFIDENCE) / 2, count + 1, of - count)) if count < of else 1.0


def exchanged(claim: float) -> float:
    """Return what exchanging a row costs where blanking one out costs the claim: it is two changes."""
    cost = (1 / noise_for(claim, DELTA, 1)) ** 2
    return epsilon(4 * cost, DELTA)  # twice the distance is four times the cost


def audit(trials: int) -> dict[str, Any]:
    """Return the bounds for each claim, and for two broken mechanisms."""
    return {
        f"{claim:g}": {
            "lower bound": bound(claim, trials),
            "half of the noise": bound(claim, trials, noise=0.5),
            "a canary of twice the norm": bound(claim, trials, norm_of_canary=2.0),
            "exchanging one row": exchanged(claim),
        }
        for claim in CLAIMS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()
    figures = audit(options.trials)
    table = Table(
        "claim", *next(iter(figures.values())), title=f"epsilon, {options.trials:,} trials", caption=machine()
    )
    for claim, row in figures.items():
        table.add_row(claim, *(f"{value:.2f}" for value in row.values()))
    console.print(table)
    save(figures, options.json)


if __name__ == "__main__":
    main()
