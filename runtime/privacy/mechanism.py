"""Logistic regression with differential privacy for every row.

Unit of privacy: one row. Neighbouring silos differ in that one row is there or is blanked out, contributing
nothing; the number of rows is public ("zero-out" neighbours: Ponomareva et al., "How to DP-fy ML", JAIR 77,
2023, 2.1.1; dp-accounting's REPLACE_SPECIAL). A row that is exchanged for another one is two such changes.

Every row is made shorter than the clip, as standardised features with a one for the intercept. A row's
gradient is (p - y) z, no longer than z; its Hessian is p (1 - p) z z', of Frobenius norm at most |z|^2 / 4.
So one row can change the sums by no more than the clip and a quarter of its square, whatever the row, the
model or the scaler are, and Gaussian noise in that proportion is added to the sums.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from runtime.contract import ExitCode, FedstackError
from runtime.privacy import noise

Vector = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

HESSIAN_WEIGHT: Final = 0.5
"""How much of the one release goes to the Hessian, the gradient having one: chosen on the stand-in."""

ROUNDING: Final = 1 - 1e-9
"""What the norm of a clipped row, and so a sum, may have been rounded up by."""


@dataclass(frozen=True)
class Terms:
    """How private a release is.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise in units of what one row can change.
    clipping_norm
        Norm that no row may exceed. It decides what is learnt, not how private that is.
    delta
        At which the server states epsilon.
    """

    noise_multiplier: float
    clipping_norm: float
    delta: float

    def __post_init__(self) -> None:
        noise, clip = self.noise_multiplier, self.clipping_norm
        if not (1e-3 <= noise < math.inf and 1e-6 <= clip <= 1e6 and 0 < self.delta < 1):
            raise FedstackError(
                ExitCode.CONFIG,
                f"The run's privacy is noise {noise}, clip {clip}, delta {self.delta}.",
                "Noise is at least 0.001, the clip within 1e-6 and 1e6, delta within 0 and 1.",
            )


class PrivateSilo:
    """A silo of which only noisy sums can be had.

    Parameters
    ----------
    z
        Standardised features, shape (n, d).
    y
        Labels, shape (n,).
    source
        Of the noise's random bytes.
    """

    def __init__(self, z: Vector, y: Labels, terms: Terms, source: noise.Source = os.urandom) -> None:
        self._z, self._y, self._terms, self._source = clipped(z, terms.clipping_norm), y, terms, source

    def gradient(self, theta: Vector) -> Vector:
        """Return the noisy gradient of the summed log loss; one release."""
        residual, _ = self._residuals(theta)
        return noise.add(
            self._z.T @ residual, self._terms.noise_multiplier * self._terms.clipping_norm, self._source
        )

    def curvature(self, theta: Vector) -> tuple[Vector, Vector]:
        """Return the noisy gradient and Hessian of the summed log loss, together one release.

        Newton's method with a noisy Hessian: Ganesh, Haghifam, Steinke and Thakurta, "Faster differentially
        private convex optimization via second-order methods", NeurIPS 2023. Gradient and Hessian are put
        into one vector of sensitivity one, the Hessian's off-diagonal entries once and times sqrt(2), which
        keeps its Frobenius norm.
        """
        residual, p = self._residuals(theta)
        gradient = self._z.T @ residual
        hessian = self._z.T @ (self._z * (p * (1 - p))[:, None])
        size, unit = len(gradient), _units(self._terms.clipping_norm)
        upper, scale = np.triu_indices(size), _off_diagonal(size)
        joint = np.concatenate([gradient / unit[0], hessian[upper] * scale / unit[1]])
        noisy = noise.add(joint, self._terms.noise_multiplier, self._source)
        full = np.zeros((size, size))
        full[upper] = noisy[size:] * unit[1] / scale
        return noisy[:size] * unit[0], full + np.triu(full, 1).T

    def fit(self, start: Vector, *, iterations: int, c: float, mu: float = 0.0) -> Vector:
        """Take some steps of gradient descent on the penalised loss; each is one release.

        The steps are one over the curvature's bound, clip^2 / 4, so that they go down but for the noise.
        """
        rows, theta = len(self._y), start.copy()
        penalty = np.append(np.full(len(start) - 1, 1 / (c * rows)), 0.0)
        step = 1 / (self._terms.clipping_norm**2 / 4 + penalty[0] + mu)
        for _ in range(iterations):
            slope = self.gradient(theta) / rows + penalty * theta + mu * (theta - start)
            theta = theta - step * slope
        return theta

    def _residuals(self, theta: Vector) -> tuple[Vector, Vector]:
        """Return p - y and p of each row, each within its bounds whatever the model is."""
        if not np.isfinite(theta).all():
            raise FedstackError(
                ExitCode.CONFIG, "The global model is not finite.", "See the server's report."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            margin = np.nan_to_num(self._z @ theta)
        p = expit(margin)
        return p - self._y, p


def clipped(z: Vector, clip: float) -> Vector:
    """Return features with a one for the intercept, no row longer than the clip; a broken row is zero."""
    whole = np.column_stack([z, np.ones(len(z))])
    with np.errstate(over="ignore"):
        length = np.linalg.norm(whole, axis=1, keepdims=True)
    sound = np.isfinite(length)
    factor = np.minimum(1.0, ROUNDING * clip / np.where(sound, length, 1.0))
    return np.where(sound, whole * factor, 0.0)


def hessian_noise(terms: Terms) -> float:
    """Return the standard deviation of the noise on the diagonal of one silo's Hessian."""
    return terms.noise_multiplier * _units(terms.clipping_norm)[1]


def _units(clip: float) -> tuple[float, float]:
    """Return the units of gradient and Hessian in which one row changes the joint release by at most one."""
    root = math.sqrt(1 + HESSIAN_WEIGHT**2)
    return clip * root, clip**2 / 4 / HESSIAN_WEIGHT * root


def _off_diagonal(size: int) -> Vector:
    """Return 1 for the diagonal and sqrt(2) for the rest, in the order of the upper triangle."""
    rows, columns = np.triu_indices(size)
    return np.where(rows == columns, 1.0, math.sqrt(2))
