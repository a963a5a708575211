from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler
from tables import plain

from rehearsal.in_process import providers
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.diagnosis import LARGEST_VALUE
from runtime.tabular.data.moments import LARGEST_COUNT, LARGEST_LOG, Moments, merge
from runtime.tabular.data.schema import CMS, Schema
from runtime.tabular.data.silos import Split, split

Array = npt.NDArray[np.float64]
TINY = Schema("tiny", "label", ("a", "b"))


def moments_of(x: np.typing.NDArray[np.float64]) -> Moments:
    return Moments.of(x, plain(x.shape[1]))


def assert_same_scaler(parts: list[Array]) -> None:
    merged = merge([moments_of(part) for part in parts])
    scaler = merged.scaler()
    pooled = StandardScaler().fit(np.log1p(np.concatenate(parts)))
    assert merged.count == pooled.n_samples_seen_
    np.testing.assert_allclose(scaler.mean, pooled.mean_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(scaler.scale, pooled.scale_, rtol=0, atol=1e-9)


@st.composite
def silos_of_any_shape(draw: st.DrawFn) -> list[Array]:
    """Between 1 and 6 silos of 1 to 30 rows; columns from constant to spread over 15 decades."""
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spreads = draw(st.lists(st.sampled_from([0.0, 1e-3, 1.0, 10.0]), min_size=1, max_size=4))
    level = rng.uniform(0, 15, len(spreads))
    logs = [rng.normal(level, spreads, (size, len(spreads))).clip(0, LARGEST_LOG) for size in sizes]
    return [np.expm1(log).clip(0, LARGEST_VALUE) for log in logs]


@given(silos_of_any_shape())
@settings(deadline=None, max_examples=300)
def test_merged_moments_scale_like_the_pooled_rows(parts: list[Array]) -> None:
    assert_same_scaler(parts)


@pytest.mark.parametrize("how", list(Split))
@pytest.mark.parametrize("clients", [1, 3, 100])
def test_merged_moments_scale_like_the_pooled_cms_rows(how: Split, clients: int) -> None:
    assert_same_scaler([silo.x for silo in split(providers(), clients, how, seed=0)])


def test_silos_of_one_row_each_make_up_the_pooled_scaler() -> None:
    assert_same_scaler([row[None] for row in providers().x[:300]])


@pytest.mark.parametrize("value", [0.0, 0.1, 3.0, 1e14])
@pytest.mark.parametrize("rows", [1, 7, 1_000])
def test_a_constant_column_keeps_its_scale(value: float, rows: int) -> None:
    parts = [np.full((rows, 2), value), np.full((3, 2), value)]
    np.testing.assert_array_equal(merge([moments_of(part) for part in parts]).scaler().scale, [1.0, 1.0])
    assert_same_scaler(parts)


def test_sums_of_squares_would_have_lost_what_moments_keep() -> None:
    """Why m2 travels and not the sum of squares: a small spread far from zero."""
    logs = 30.0 + 1e-7 * np.arange(10.0)[:, None]
    z = np.log1p(np.expm1(logs))
    moments = merge([moments_of(np.expm1(logs[:4])), moments_of(np.expm1(logs[4:]))])
    naive = (z**2).sum() / 10 - z.mean() ** 2
    assert abs(moments.scaler().scale[0] / z.std() - 1) < 1e-6
    assert abs(naive / z.var() - 1) > 0.01


def test_merging_nothing_and_measuring_nothing_are_refused() -> None:
    with pytest.raises(FedstackError, match="no moments to merge"):
        merge([])
    with pytest.raises(FedstackError, match="no rows to take the moments of"):
        moments_of(np.empty((0, 3)))


def test_moments_travel_as_arrays() -> None:
    moments = moments_of(providers().x)
    received = Moments.from_arrays(moments.to_arrays())
    assert received.count == 5_500
    np.testing.assert_array_equal(received.mean, moments.mean)
    np.testing.assert_array_equal(received.m2, moments.m2)


@pytest.mark.parametrize("rows", [1, 2, 3, 1_000, 10_001])
def test_the_most_extreme_honest_data_pass(rows: int) -> None:
    half = np.where(np.arange(rows) % 2, LARGEST_VALUE, 0.0)
    moments_of(np.column_stack([half, np.full(rows, LARGEST_VALUE)])).check(TINY)


SPREAD = 10 * LARGEST_LOG**2 / 4


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("count", np.array([0]), "the count is 0,"),
        ("count", np.array([-1]), "the count is -1,"),
        ("count", np.array([LARGEST_COUNT + 1]), "the count is 1000000001"),
        ("count", np.array([10.0]), "count is float64 of shape (1,)"),
        ("count", np.array(10), "count is int64 of shape ()"),
        ("count", np.array([10, 10]), "count is int64 of shape (2,)"),
        ("mean", np.array([1.0, np.nan]), "mean of 'b' is nan"),
        ("mean", np.array([np.inf, 1.0]), "mean of 'a' is inf"),
        ("mean", np.array([1.0, -1e-9]), "mean of 'b' is -1e-09"),
        ("mean", np.array([1.0, LARGEST_LOG * 1.001]), "mean of 'b' is 34.57"),
        ("mean", np.array([1.0]), "mean has shape (1,) where (2,) belongs"),
        ("mean", np.array([[1.0, 1.0]]), "mean has shape (1, 2)"),
        ("mean", np.array([1.0, 1.0], dtype=np.float32), "mean is float32 where float64 belongs"),
        ("mean", np.array([1.0, None]), "mean is object where float64 belongs"),
        ("m2", np.array([np.nan, 1.0]), "m2 of 'a' is nan"),
        ("m2", np.array([1.0, -1.0]), "m2 of 'b' is -1.0"),
        ("m2", np.array([1.0, SPREAD * 1.001]), "m2 of 'b' is 2985"),
        ("m2", np.array([1.0, 1.0, 1.0]), "m2 has shape (3,)"),
        ("extra", np.array([1.0]), "the arrays are ['count', 'extra', 'm2', 'mean']"),
    ],
)
def test_impossible_moments_are_refused_by_name(key: str, value: npt.NDArray[np.generic], what: str) -> None:
    sent = Moments(10, np.array([1.0, 2.0]), np.array([1.0, SPREAD])).to_arrays()
    Moments.from_arrays(sent, TINY)
    with pytest.raises(FedstackError) as raised:
        Moments.from_arrays(sent | {key: value}, TINY)
    assert raised.value.code is ExitCode.DATA
    assert what in raised.value.what


def test_a_missing_array_is_refused() -> None:
    with pytest.raises(FedstackError, match=r"the arrays are \['count', 'mean'\]"):
        Moments.from_arrays({"count": np.array([1]), "mean": np.zeros(2)}, TINY)


def test_moments_of_another_width_are_refused_against_the_cms_schema() -> None:
    with pytest.raises(FedstackError, match=rf"shape \(3,\) where \({len(CMS.features)},\) belongs"):
        moments_of(np.ones((5, 3))).check()
