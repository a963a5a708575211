"""How close the stand-in comes to the real CMS file, 5-fold as in the data set's README.

python bench/standin_fidelity.py --json fidelity.json [--data processed_data_classification_v2.csv]
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from runtime.tabular.data.dataset import Dataset, load_csv
from runtime.tabular.data.schema import CMS
from runtime.tabular.data.standin import generate

SEEDS = range(5)
Figures = dict[str, float]


def models() -> dict[str, object]:
    """Return the models of the data set's README, by the name of its rows."""
    logistic = LogisticRegression(max_iter=2000)
    return {
        "LR log1p": make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), logistic),
        "LR standardised": make_pipeline(StandardScaler(), logistic),
        "trees": HistGradientBoostingClassifier(random_state=0),
        "LR raw": LogisticRegression(max_iter=10),
    }


def distinct(dataset: Dataset) -> Dataset:
    """Drop the rows that repeat an earlier one."""
    _, first = np.unique(np.column_stack([dataset.x, dataset.y]), axis=0, return_index=True)
    return dataset.take(np.sort(first))


def difficulty(dataset: Dataset) -> Figures:
    """Cross-validate every model; duplicates fall on both sides of the folds, as in the README."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    figures: Figures = {}
    for name, model in models().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 10 iterations are what the reference took
            scores = cross_validate(
                model, dataset.x, dataset.y, cv=folds, scoring=["roc_auc", "average_precision"]
            )
        figures[f"{name} ROC-AUC"] = float(scores["test_roc_auc"].mean())
        figures[f"{name} PR-AUC"] = float(scores["test_average_precision"].mean())
    return figures


def figures(dataset: Dataset) -> Figures:
    """Measure a data set, with its duplicates and, for the trees, without."""
    unique = distinct(dataset)
    shape = {
        "rows": float(len(dataset)),
        "duplicate rows": float(len(dataset) - len(unique)),
        "positive %": 100 * float(dataset.y.mean()),
        "women %": 100 * float(dataset.x[:, 0].mean()),
    }
    apart = {
        f"{name}, no duplicates": value for name, value in difficulty(unique).items() if "raw" not in name
    }
    return shape | difficulty(dataset) | apart


def marginals(standin: Dataset, real: Dataset) -> Figures:
    """Compare the columns on log1p scale: the largest and the median difference over the 49."""
    a, b = np.log1p(standin.x), np.log1p(real.x)
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    deviation = b.std(axis=0)
    gaps = {
        "mean gap, in deviations": np.abs(a.mean(axis=0) - b.mean(axis=0)) / deviation,
        "deviation gap, relative": np.abs(a.std(axis=0) / deviation - 1),
        "quantile gap, in deviations": (
            np.abs(np.quantile(a, quantiles, axis=0) - np.quantile(b, quantiles, axis=0)).max(axis=0)
            / deviation
        ),
        "correlation gap": np.abs(np.corrcoef(a.T) - np.corrcoef(b.T))[np.triu_indices(a.shape[1], 1)],
    }
    return {
        f"{name}, {which}": float(reduce(gap))
        for name, gap in gaps.items()
        for which, reduce in (("median", np.median), ("largest", np.max))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--data", type=Path, help="the real file, to compare with")
    options = parser.parse_args()
    report = {f"seed {seed}": figures(generate(seed=seed)) for seed in SEEDS}
    if options.data:
        real = load_csv(options.data, CMS)
        report["real"] = figures(real)
        for seed in SEEDS:
            report[f"seed {seed}"] |= marginals(generate(seed=seed), real)
    options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    table = Table("figure", *report, title="stand-in and real file")
    for name in report["seed 0"]:
        cells = [f"{column[name]:.4g}" if name in column else "" for column in report.values()]
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
