from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tables import row_set

from rehearsal.in_process import providers
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.schema import CMS
from runtime.tabular.data.standin import FRACTIONAL, QUANTITIES, generate

Array = npt.NDArray[np.float64]


def column(dataset: Dataset, name: str) -> Array:
    return dataset.x[:, CMS.features.index(name)]


@cache
def figures(dataset: Dataset) -> dict[str, tuple[float, float]]:
    """ROC-AUC and PR-AUC, 5-fold."""
    models = {
        "logistic": make_pipeline(
            FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression(max_iter=2000)
        ),
        "raw": LogisticRegression(max_iter=10),
        "trees": HistGradientBoostingClassifier(random_state=0),
    }
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = {
        name: cross_validate(model, dataset.x, dataset.y, cv=folds, scoring=["roc_auc", "average_precision"])
        for name, model in models.items()
    }
    return {
        name: (float(score["test_roc_auc"].mean()), float(score["test_average_precision"].mean()))
        for name, score in scores.items()
    }


def test_the_standin_has_the_shape_of_the_cms_file() -> None:
    dataset = generate()
    assert dataset.x.shape == (5_500, 49)
    assert (dataset.x.dtype.name, dataset.y.dtype.name) == ("float64", "int64")
    assert int(dataset.y.sum()) == 500
    together = np.column_stack([dataset.x, dataset.y])
    assert len(np.unique(together, axis=0)) == len(np.unique(dataset.x, axis=0)) == 5_500 - 38


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")  # 10 iterations, as the reference took
@pytest.mark.parametrize("which", ["stand-in", "real file, where there is one"])
def test_it_is_as_hard_as_the_readme_of_the_file_says(which: str) -> None:
    measured = figures(generate() if which == "stand-in" else providers())
    logistic, trees, raw = measured["logistic"], measured["trees"], measured["raw"]
    assert 0.84 <= logistic[0] <= 0.865
    assert 0.40 <= logistic[1] <= 0.52
    assert 0.862 <= trees[0] <= 0.885
    assert trees[0] > logistic[0] + 0.01
    assert trees[1] > logistic[1] + 0.05
    assert raw[0] < 0.6


def test_the_columns_are_distributed_as_in_the_file() -> None:
    standin, file = np.log1p(generate().x), np.log1p(providers().x)
    deviation = file.std(axis=0)
    assert (np.abs(standin.mean(axis=0) - file.mean(axis=0)) < 0.1 * deviation).all()
    assert (np.abs(standin.std(axis=0) / deviation - 1) < 0.15).all()
    gap = np.abs(np.corrcoef(standin.T) - np.corrcoef(file.T))
    assert np.median(gap) < 0.05
    assert gap.max() < 0.25


@pytest.mark.parametrize("seed", range(3))
def test_no_row_of_the_file_is_in_it(seed: int) -> None:
    assert not row_set(generate(seed=seed)) & row_set(providers())


def test_the_columns_of_a_provider_agree() -> None:
    dataset = generate(20_000, seed=1)
    assert np.isfinite(dataset.x).all()
    assert dataset.x.min() >= 0
    assert set(np.unique(column(dataset, "female"))) == {0.0, 1.0}
    for quantity, _ in QUANTITIES:
        mean, total, deviation = (
            column(dataset, f"{quantity}_{statistic}") for statistic in ("mean", "sum", "standard_deviation")
        )
        assert (total >= mean - 1e-6).all()
        rows = total / np.maximum(mean, 0.01)
        assert (deviation <= np.maximum(mean + 1, 0.01) * np.sqrt(rows + 1)).all()
        alone = total == mean
        assert (deviation[alone] == 0).mean() > 0.9
        whole = bool((np.column_stack([mean, total, deviation]) % 1 == 0).all())
        assert whole == (quantity not in FRACTIONAL)


def test_the_duplicates_are_positive_as_in_the_file() -> None:
    for dataset in (generate(), providers()):
        _, group, size = np.unique(dataset.x, axis=0, return_inverse=True, return_counts=True)
        repeated = size[group] > 1
        assert repeated.sum() > 38
        assert dataset.y[repeated].all()


def test_the_seed_decides() -> None:
    first, again, other = generate(500, 1), generate(500, 1), generate(500, 2)
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y, again.y)
    assert not row_set(first) & row_set(other)


@pytest.mark.parametrize("rows", [22, 100, 1_000, 30_000])
def test_any_number_of_rows_has_1_in_11_positive(rows: int) -> None:
    dataset = generate(rows)
    assert dataset.x.shape == (rows, 49)
    assert int(dataset.y.sum()) == round(rows / 11)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(FedstackError, match="A stand-in of 21 rows") as raised:
        generate(21)
    assert raised.value.code is ExitCode.CONFIG
