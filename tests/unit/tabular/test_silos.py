from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from tables import row_set, table

from rehearsal.in_process import providers
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.schema import CMS
from runtime.tabular.data.silos import FEW, SIZE_RANGE, Split, hold_out, split

EVERY_SPLIT = pytest.mark.parametrize("how", list(Split))


def numbered(positive: int, negative: int) -> Dataset:
    """Rows that carry their own number, so that each can be found again."""
    y = np.repeat(np.array([1, 0], dtype=np.int64), [positive, negative])
    number = np.arange(len(y), dtype=np.float64)
    return table(np.column_stack([number, (number * 7) % 13]), y)


def positive_rates(silos: list[Dataset]) -> list[float]:
    return [float(silo.y.mean()) for silo in silos]


@EVERY_SPLIT
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 12), st.integers(0, 3))
@settings(deadline=None, max_examples=50)
def test_every_row_goes_to_exactly_one_silo_and_none_is_empty(
    how: Split, positive: int, negative: int, clients: int, seed: int
) -> None:
    dataset = numbered(positive, max(negative, clients - positive))
    silos = split(dataset, clients, how, seed)
    rows = np.concatenate([silo.x[:, 0] for silo in silos]).astype(int)
    assert len(silos) == clients
    assert min(len(silo) for silo in silos) > 0
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(dataset)))
    np.testing.assert_array_equal(np.concatenate([silo.y for silo in silos]), dataset.y[rows])


@EVERY_SPLIT
@pytest.mark.parametrize("clients", [1, 2, 3, 10, 100])
def test_every_silo_has_a_few_rows_of_both_labels(how: Split, clients: int) -> None:
    silos = split(providers(), clients, how, seed=3)
    for silo in silos:
        assert np.bincount(silo.y, minlength=2).min() >= FEW


@EVERY_SPLIT
def test_with_as_many_rows_of_a_label_as_silos_each_gets_one(how: Split) -> None:
    silos = split(numbered(4, 60), 4, how, seed=0)
    assert [int(silo.y.sum()) for silo in silos] == [1, 1, 1, 1]


@EVERY_SPLIT
def test_the_seed_decides(how: Split) -> None:
    first, again, other = (split(providers(), 3, how, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.x, b.x) for a, b in zip(first, again, strict=True))
    same = all(np.array_equal(a.x, b.x) for a, b in zip(first, other, strict=True))
    assert not same


def test_iid_silos_have_equal_sizes_and_equal_rates() -> None:
    silos = split(providers(), 7, Split.IID, seed=0)
    assert np.ptp([len(silo) for silo in silos]) <= 2
    assert np.ptp(positive_rates(silos)) < 0.002
    means = np.array([np.log1p(silo.x).mean(axis=0) for silo in silos])
    assert (np.ptp(means, axis=0) < 0.4 * np.log1p(providers().x).std(axis=0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_label_skew_makes_the_rates_differ(seed: int) -> None:
    rates = positive_rates(split(providers(), 5, Split.LABEL, seed))
    assert max(rates) > 3 * min(rates)


def test_feature_skew_orders_equal_silos_by_the_size_of_the_provider() -> None:
    silos = split(providers(), 4, Split.FEATURE, seed=0)
    claims = CMS.features.index("total_claim_count_sum")
    logs = np.log1p(providers().x[:, claims])
    means = [float(np.log1p(silo.x[:, claims]).mean()) for silo in silos]
    assert means == sorted(means)
    assert means[-1] - means[0] > logs.std()
    assert np.ptp([len(silo) for silo in silos]) < 10


def test_feature_skew_keeps_what_a_size_says_about_the_label() -> None:
    rng = np.random.default_rng(0)
    size = rng.uniform(0, 100, 3_000)
    label = (rng.uniform(0, 100, 3_000) < size).astype(np.int64)
    rates = positive_rates(split(table(np.column_stack([size, 2 * size]), label), 3, Split.FEATURE, seed=0))
    assert rates == sorted(rates)
    assert rates[2] - rates[0] > 0.3


def test_size_skew_is_geometric() -> None:
    sizes = np.array([len(silo) for silo in split(providers(), 4, Split.SIZE, seed=0)])
    ratios = sizes[:-1] / sizes[1:]
    np.testing.assert_allclose(ratios, SIZE_RANGE ** (1 / 3), rtol=0.1)


@pytest.mark.parametrize(
    ("clients", "code", "what"),
    [
        (0, ExitCode.CONFIG, "0 clients were asked for."),
        (-2, ExitCode.CONFIG, "-2 clients were asked for."),
        (11, ExitCode.DATA, "10 rows cannot be split over 11 clients."),
    ],
)
def test_impossible_numbers_of_clients_are_refused(clients: int, code: ExitCode, what: str) -> None:
    with pytest.raises(FedstackError) as raised:
        split(numbered(5, 5), clients, Split.IID, seed=0)
    assert (raised.value.code, raised.value.what) == (code, what)


def test_the_test_set_has_its_share_of_each_label_and_shares_no_row() -> None:
    for seed in range(10):
        rest, test = hold_out(providers(), 0.2, seed)
        assert len(rest) + len(test) == 5_500
        assert abs(int(test.y.sum()) - 100) <= 1
        assert abs(len(test) - 1_100) <= 1
        assert not row_set(rest) & row_set(test)


def test_an_ordinary_split_of_this_file_does_straddle() -> None:
    """Without it the test above would show nothing."""
    data = providers()
    rest, test = train_test_split(np.arange(5_500), test_size=0.2, stratify=data.y, random_state=0)
    assert row_set(data.take(rest)) & row_set(data.take(test))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), min_size=4, max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
@settings(deadline=None)
def test_no_duplicate_ever_straddles(rows: list[tuple[int, int]], fraction: float, seed: int) -> None:
    """Few values, so nearly every row has duplicates, some with the other label."""
    pairs = np.array([*rows, (5, 1), (6, 1), (7, 0), (8, 0)])
    dataset = table(pairs[:, :1].astype(np.float64), pairs[:, 1].astype(np.int64))
    rest, test = hold_out(dataset, fraction, seed)
    assert not row_set(rest) & row_set(test)
    assert len(rest) + len(test) == len(dataset)
    assert set(test.y.tolist()) == set(rest.y.tolist()) == {0, 1}


def test_zero_and_minus_zero_are_the_same_row() -> None:
    x = np.array([[0.0], [-0.0]] * 5 + [[1.0], [2.0], [3.0], [4.0]])
    dataset = table(x, np.array([0] * 10 + [0, 0, 1, 1]))
    for seed in range(20):
        rest, test = hold_out(dataset, 0.4, seed)
        assert not set(rest.x[:, 0].tolist()) & set(test.x[:, 0].tolist())


def test_one_group_is_held_out_even_if_every_group_is_larger_than_the_share() -> None:
    dataset = numbered(2, 2)
    _, test = hold_out(dataset.take(np.repeat(np.arange(4), 5)), 0.1, seed=0)
    assert np.bincount(test.y).tolist() == [5, 5]


def test_the_seed_decides_the_test_set() -> None:
    (_, first), (_, again), (_, other) = (hold_out(providers(), 0.2, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x, again.x)
    assert row_set(first) != row_set(other)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_that_leaves_a_side_empty_is_refused(fraction: float) -> None:
    with pytest.raises(FedstackError, match="test fraction is") as raised:
        hold_out(numbered(5, 5), fraction, seed=0)
    assert raised.value.code is ExitCode.CONFIG


@pytest.mark.parametrize("positive", [0, 1])
def test_a_label_that_cannot_be_on_both_sides_is_refused(positive: int) -> None:
    with pytest.raises(FedstackError, match=f"None of the {positive} rows with the label '") as raised:
        hold_out(numbered(positive, 20), 0.2, seed=0)
    assert raised.value.code is ExitCode.DATA
