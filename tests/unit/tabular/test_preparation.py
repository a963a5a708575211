from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from tables import row_set, table

from rehearsal.in_process import providers
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.preparation import Moments, prepare

Array = npt.NDArray[np.float64]


def blobs(positive: int, negative: int, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.array([1, 0], dtype=np.int64), [positive, negative])
    return table(np.exp(rng.normal(2.0, 1.0, (len(y), 3)) + y[:, None]), y).take(rng.permutation(len(y)))


def doubled(dataset: Dataset, rows: npt.NDArray[np.bool_]) -> Dataset:
    return table(np.where(rows[:, None], 2 * dataset.x, dataset.x), dataset.y)


def is_in(rows: Dataset, others: Dataset) -> npt.NDArray[np.bool_]:
    known = row_set(others)
    return np.array([row.tobytes() in known for row in np.ascontiguousarray(rows.x)], dtype=np.bool_)


def as_the_reference_does(dataset: Dataset) -> tuple[Array, Array]:
    """SMOTE on everything, then the split."""
    x, y = SMOTE(random_state=0).fit_resample(dataset.x, dataset.y)
    train, validation = train_test_split(x, test_size=0.2, stratify=y, random_state=0)
    return train, validation


def test_the_reference_leaks_training_rows_into_its_validation_rows() -> None:
    dataset = blobs(30, 200)
    train, validation = as_the_reference_does(dataset)
    made_up = ~is_in(table(validation, np.zeros(len(validation), np.int64)), dataset)
    assert made_up.sum() > 20
    in_training = is_in(dataset, table(train, np.zeros(len(train), np.int64)))
    _, moved = as_the_reference_does(doubled(dataset, in_training))
    assert (validation[made_up] != moved[made_up]).any()


def test_our_validation_rows_are_the_silos_own_and_no_training_row_depends_on_them() -> None:
    dataset = blobs(30, 200)
    prepared = prepare(dataset, validation=0.2, smote=True, seed=0)
    assert is_in(prepared.validation, dataset).all()
    assert not row_set(prepared.train) & row_set(prepared.validation)
    aside = is_in(dataset, prepared.validation)
    moved = prepare(doubled(dataset, aside), validation=0.2, smote=True, seed=0)
    np.testing.assert_array_equal(moved.train.x, prepared.train.x)  # synthetic rows included
    np.testing.assert_array_equal(moved.validation.x, 2 * prepared.validation.x)


def test_our_validation_rows_do_not_depend_on_the_training_rows_or_on_smote() -> None:
    dataset = blobs(30, 200)
    prepared = prepare(dataset, validation=0.2, smote=True, seed=0)
    plain = prepare(dataset, validation=0.2, smote=False, seed=0)
    moved = prepare(
        doubled(dataset, ~is_in(dataset, prepared.validation)), validation=0.2, smote=True, seed=0
    )
    np.testing.assert_array_equal(plain.validation.x, prepared.validation.x)
    np.testing.assert_array_equal(moved.validation.x, prepared.validation.x)


def test_every_synthetic_row_lies_between_two_training_rows_of_the_minority() -> None:
    dataset = blobs(12, 60)
    prepared = prepare(dataset, validation=0.2, smote=True, seed=0)
    own = prepared.train.take(np.arange(prepared.original_rows))
    ends = np.log1p(own.x[own.y == 1])
    synthetic = prepared.train.take(np.arange(prepared.original_rows, len(prepared.train)))
    assert len(synthetic) > 20
    assert (synthetic.y == 1).all()
    for row in np.log1p(synthetic.x):
        lengths = np.linalg.norm(ends - row, axis=1)
        detours = lengths[:, None] + lengths - np.linalg.norm(ends[:, None] - ends, axis=2)
        assert detours.min() < 1e-9


def test_smote_evens_the_labels_and_puts_the_silos_own_rows_first() -> None:
    dataset = providers()
    prepared = prepare(dataset, validation=0.2, smote=True, seed=1)
    plain = prepare(dataset, validation=0.2, smote=False, seed=1)
    assert len(plain.train) == plain.original_rows == prepared.original_rows == 4_400
    np.testing.assert_array_equal(prepared.train.x[:4_400], plain.train.x)
    np.testing.assert_array_equal(prepared.train.y[:4_400], plain.train.y)
    assert np.bincount(prepared.train.y).tolist() == [4_000, 4_000]
    assert prepared.train.x.min() >= 0
    assert prepared.train.y.dtype == np.int64
    assert not row_set(prepared.train) & row_set(prepared.validation)


@given(
    st.integers(0, 9),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    st.booleans(),
)
@settings(deadline=None)
def test_small_silos_are_prepared_whatever_they_lack(
    positive: int, negative: int, fraction: float, smote: bool
) -> None:
    dataset = blobs(positive, max(negative, 1 - positive))
    prepared = prepare(dataset, validation=fraction, smote=smote, seed=0)
    own = np.bincount(prepared.train.y[: prepared.original_rows], minlength=2)
    assert prepared.original_rows + len(prepared.validation) == len(dataset)
    assert ((own > 0) == (np.bincount(dataset.y, minlength=2) > 0)).all()  # no label is lost to training
    balanced = smote and own.min() >= 2
    assert len(prepared.train) == (2 * own.max() if balanced else own.sum())
    assert (fraction > 0) or len(prepared.validation) == 0
    for label in (0, 1):
        rows = int((dataset.y == label).sum())
        if fraction > 0 and rows >= 2:
            assert 1 <= (prepared.validation.y == label).sum() <= rows - 1


def test_duplicates_do_not_straddle_the_validation_border() -> None:
    for seed in range(10):
        prepared = prepare(providers(), validation=0.1, smote=False, seed=seed)
        assert not row_set(prepared.train) & row_set(prepared.validation)


def test_smote_can_interpolate_among_equal_rows() -> None:
    dataset = table(np.ones((12, 2)), np.array([1] * 3 + [0] * 9))
    prepared = prepare(dataset, validation=0.0, smote=True, seed=0)
    np.testing.assert_allclose(prepared.train.x, np.ones((18, 2)))


@pytest.mark.parametrize("fraction", [1.0, -0.1, float("nan")])
def test_an_impossible_validation_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(FedstackError, match="validation fraction is") as raised:
        prepare(blobs(5, 5), validation=fraction, smote=False, seed=0)
    assert raised.value.code is ExitCode.CONFIG


def test_the_moments_are_those_of_the_silos_own_training_rows() -> None:
    prepared = prepare(providers(), validation=0.2, smote=True, seed=0)
    plain = prepare(providers(), validation=0.2, smote=False, seed=0)
    scaler = StandardScaler().fit(np.log1p(plain.train.x))
    moments = prepared.moments()
    assert moments.count == 4_400
    np.testing.assert_allclose(moments.mean, scaler.mean_, atol=1e-9)
    assert np.abs(Moments.of(prepared.train.x).mean - moments.mean).max() > 0.1
