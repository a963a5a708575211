"""What leaves a silo under differential privacy depends on one row as little as it says, and is as noisy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from runtime.contract import FedstackError
from runtime.privacy import noise
from runtime.privacy.mechanism import HESSIAN_WEIGHT, PrivateSilo, Terms, clipped, hessian_noise

TERMS = Terms(noise_multiplier=2.0, clipping_norm=3.0, delta=1e-5)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def seeded(seed: int) -> noise.Source:
    return np.random.default_rng(seed).bytes


def silent(size: int) -> bytes:
    """Random bytes whose noise is zero."""
    return np.full(size // 8, 1 << 63, dtype="<u8").tobytes()


def rows(seed: int, count: int = 50, features: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 3 * rng.standard_normal((count, features)), rng.integers(0, 2, count)


def joint(silo: PrivateSilo, theta: np.ndarray, clip: float) -> np.ndarray:
    """Gradient and Hessian in the units in which one release has sensitivity one."""
    gradient, hessian = silo.curvature(theta)
    root = math.sqrt(1 + HESSIAN_WEIGHT**2)
    return np.concatenate([gradient / clip / root, hessian.ravel() * 4 / clip**2 * HESSIAN_WEIGHT / root])


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=5), st.floats(1e-3, 1e3))
def test_no_row_is_longer_than_the_clip_whatever_it_holds(table: list[list[float]], clip: float) -> None:
    short = clipped(np.array(table), clip)
    assert np.isfinite(short).all()
    assert (np.linalg.norm(short, axis=1) <= clip).all()


def test_a_short_row_is_left_as_it_is() -> None:
    np.testing.assert_array_equal(clipped(np.array([[0.1, -0.2]]), 4.0), [[0.1, -0.2, 1.0]])


@pytest.mark.parametrize("seed", range(20))
def test_one_row_changes_what_leaves_by_no_more_than_the_sensitivity(seed: int) -> None:
    z, y = rows(seed)
    theta = 5 * np.random.default_rng(seed + 100).standard_normal(5)
    z[0] *= 10.0**seed  # from ordinary to absurd
    with_it = PrivateSilo(z, y, TERMS, silent)
    without = PrivateSilo(z[1:], y[1:], TERMS, silent)
    grid = 2e-5  # what is released is rounded to a grid much finer than the noise
    assert np.linalg.norm(with_it.gradient(theta) - without.gradient(theta)) <= TERMS.clipping_norm + grid
    both = joint(with_it, theta, TERMS.clipping_norm) - joint(without, theta, TERMS.clipping_norm)
    assert np.linalg.norm(both) <= 1 + grid


def test_the_bound_is_reached_so_it_is_not_wasted() -> None:
    z, y = np.array([[1000.0, 0.0]]), np.array([0])
    silo = PrivateSilo(z, y, TERMS, silent)
    assert np.linalg.norm(silo.gradient(np.array([1000.0, 0, 0]))) == pytest.approx(
        TERMS.clipping_norm, rel=1e-4
    )
    _, hessian = silo.curvature(np.zeros(3))
    assert np.linalg.norm(hessian) == pytest.approx(TERMS.clipping_norm**2 / 4, rel=1e-4)


def test_without_noise_it_is_the_gradient_and_the_hessian() -> None:
    z, y = rows(1)
    theta, whole = np.array([0.1, -0.2, 0.3, 0.0, -1.0]), clipped(z, TERMS.clipping_norm)
    p = 1 / (1 + np.exp(-whole @ theta))
    gradient, hessian = PrivateSilo(z, y, TERMS, silent).curvature(theta)
    np.testing.assert_allclose(gradient, whole.T @ (p - y), atol=1e-4)
    np.testing.assert_allclose(hessian, (whole * (p * (1 - p))[:, None]).T @ whole, atol=1e-4)


def test_the_noise_of_a_gradient_is_gaussian_with_the_right_deviation() -> None:
    z, y = rows(2)
    silo, theta = PrivateSilo(z, y, TERMS, seeded(7)), np.zeros(5)
    draws = np.concatenate([silo.gradient(theta) for _ in range(4000)])
    exact = np.tile(PrivateSilo(z, y, TERMS, silent).gradient(theta), 4000)
    assert kstest((draws - exact) / (TERMS.noise_multiplier * TERMS.clipping_norm), "norm").pvalue > 0.01


def test_the_noise_of_a_curvature_is_that_of_one_release() -> None:
    z, y = rows(3)
    noisy, exact = PrivateSilo(z, y, TERMS, seeded(8)), PrivateSilo(z, y, TERMS, silent)
    theta, upper = np.zeros(5), np.triu_indices(5, 1)
    gradients, diagonals, others = [], [], []
    for _ in range(2000):
        (g, h), (g0, h0) = noisy.curvature(theta), exact.curvature(theta)
        assert np.array_equal(h, h.T)
        gradients.append(g - g0)
        diagonals.append(np.diag(h - h0))
        others.append((h - h0)[upper])
    expected = hessian_noise(TERMS)
    root = math.sqrt(1 + HESSIAN_WEIGHT**2)
    assert np.std(gradients) == pytest.approx(TERMS.noise_multiplier * TERMS.clipping_norm * root, rel=0.02)
    assert np.std(diagonals) == pytest.approx(expected, rel=0.02)
    assert np.std(others) == pytest.approx(expected / math.sqrt(2), rel=0.02)


def test_noise_is_on_a_grid_that_does_not_depend_on_the_values() -> None:
    released = noise.add(np.array([0.1, 1 / 3, 123.456]), 1.5, seeded(1))
    assert np.array_equal(released * 2**20, np.round(released * 2**20))


def test_noise_is_never_the_same() -> None:
    zero = np.zeros(4)
    assert not np.array_equal(noise.add(zero, 1.0), noise.add(zero, 1.0))


def test_private_gradient_descent_learns() -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((20_000, 3))
    y = (rng.random(20_000) < 1 / (1 + np.exp(-(z @ [1.0, -1.0, 0.0])))).astype(np.int64)
    silo = PrivateSilo(z, y, Terms(20.0, 3.0, 1e-5), seeded(3))
    found = silo.fit(np.zeros(4), iterations=60, c=1.0)
    np.testing.assert_allclose(found, [1.0, -1.0, 0.0, 0.0], atol=0.25)


@pytest.mark.parametrize(
    ("given", "clip"), [(0.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, 0.0), (1.0, math.nan)]
)
def test_terms_that_are_none_are_refused(given: float, clip: float) -> None:
    with pytest.raises(FedstackError, match="The run's privacy is noise"):
        Terms(given, clip, 1e-5)


def test_a_model_that_is_not_finite_tells_nothing_of_the_rows() -> None:
    z, y = rows(4)
    with pytest.raises(FedstackError, match="The global model is not finite"):
        PrivateSilo(z, y, TERMS).gradient(np.array([np.inf, 0, 0, 0, 0]))


@pytest.mark.parametrize("theta", [1e308, -1e308])
def test_an_absurd_model_keeps_the_bound(theta: float) -> None:
    z, y = rows(5)
    vector = np.array([theta, -theta, theta, 0.0, 0.0])
    one, other = PrivateSilo(z, y, TERMS, silent), PrivateSilo(z[1:], y[1:], TERMS, silent)
    assert np.linalg.norm(one.gradient(vector) - other.gradient(vector)) <= TERMS.clipping_norm + 1e-4
