"""The steps that take raw rows of typed columns to what an estimator takes, of scikit-learn and NumPy alone.

Texts, numbers and missing cells as a file or a data frame has them go in; nothing of ours is needed to load
the result. Each column has steps of its own, fitted to values that its schema allows; what they would have
learnt from rows is set to what the federation's scaler says.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from runtime.tabular.columns.columns import DAYS_PER_YEAR, LEVELLED, LOGGED, Column, Role, Type, whole_number
from runtime.tabular.columns.typed import feature_text
from runtime.tabular.data.moments import Scaler
from runtime.tabular.data.schema import Schema

NO_DAY: Final = -(2.0**63)
"""What NumPy makes of a day that is none, as a number."""

Values = npt.NDArray[np.float64]


def encoder(schema: Schema, scaler: Scaler) -> tuple[ColumnTransformer, Values]:
    """Return the transformer of raw rows, shape (n, d), and what is to be added to the scaler's mean.

    It takes the features in the schema's order, or a data frame that has columns of their names.
    """
    columns = [column for column in schema.table if column.role is Role.FEATURE]
    steps, shift = [], np.zeros(schema.width)
    example = np.empty((1, len(columns)), dtype=object)
    for place, column in enumerate(columns):
        own = np.flatnonzero(schema.encoding.sources == place)
        fill = np.zeros(len(own)) if scaler.fill is None else scaler.fill[own]
        build = _levels if column.type in LEVELLED else _number
        made, shift[own] = build(column, fill)
        steps.append((column.name, made, [place]))
        example[0, place] = feature_text(column, 0.0)
    transformer = ColumnTransformer(steps)
    transformer.fit(example)
    for name, made in transformer.named_transformers_.items():
        _set_fill(made, {n: s for n, s, _ in steps}[name])
    transformer.feature_names_in_ = np.array([column.name for column in columns], dtype=object)
    return transformer, shift


def _text(column: Column, absent: str) -> list[Any]:
    """Return steps to a text without spaces at its ends, and one text for all that is missing."""
    steps: list[Any] = [
        FunctionTransformer(np.asarray, kw_args={"dtype": str}),
        FunctionTransformer(np.char.strip),
        FunctionTransformer(np.asarray, kw_args={"dtype": object}),
    ]
    if column.missing:
        codes = {
            "",
            "None",
            "nan",
            "NaN",
            "<NA>",
            *(form for code in column.missing for form in _forms(code)),
        }
        levels = {form for level in column.levels for form in _forms(level)}
        steps += [_replace(code, absent) for code in sorted(codes - levels - {absent})]
    return steps


def _replace(code: Any, by: Any) -> SimpleImputer:
    return SimpleImputer(missing_values=code, strategy="constant", fill_value=by, keep_empty_features=True)


def _forms(text: str) -> list[str]:
    """Return how a text may be written: a whole number from a data frame may have a point."""
    value = whole_number(text)
    if value is None:
        return [text]
    return sorted({text, f"{value:.0f}", f"{value:.1f}"})


def _number(column: Column, fill: Values) -> tuple[Pipeline, Values]:
    shift, steps = 0.0, _text(column, "NaT" if column.type is Type.DATE else "nan")
    if column.type is Type.DATE:
        steps.append(FunctionTransformer(np.asarray, kw_args={"dtype": "datetime64[D]"}))
    steps.append(FunctionTransformer(np.asarray, kw_args={"dtype": float}))
    if column.type is Type.DATE:
        steps += [_replace(NO_DAY, np.nan)] if column.missing else []
        # Age is (reference - days) / 365.25: the scaler's mean takes care of the reference.
        steps.append(FunctionTransformer(np.dot, kw_args={"b": np.array([[-1.0 / DAYS_PER_YEAR]])}))
        shift = -column.reference_day / DAYS_PER_YEAR
    if column.type in LOGGED:
        steps.append(FunctionTransformer(np.log1p))
    if not column.missing:
        return make_pipeline(*steps), np.array([shift])
    impute = SimpleImputer(strategy="mean", keep_empty_features=True)
    impute.federated_ = float(fill[0] + shift)
    both = ColumnTransformer([("value", impute, [0]), ("missing", _absent(), [0])])
    return make_pipeline(*steps, both), np.array([shift, 0.0])


def _absent() -> FunctionTransformer:
    return FunctionTransformer(np.isnan)


def _set_fill(fitted: Pipeline, asked: Pipeline) -> None:
    """Let the imputer of a fitted copy have the federation's mean."""
    last = fitted[-1]
    if isinstance(last, ColumnTransformer):
        imputer = last.named_transformers_["value"]
        imputer.statistics_ = np.array([asked[-1].transformers[0][1].federated_])


def _levels(column: Column, fill: Values) -> tuple[Pipeline, Values]:
    """Return one-hot columns of the levels but the first; of a category what is none of them is 1 less all.

    That 1 is the shift: a matrix can only take away.
    """
    width = len(fill)
    forms = [(form, code) for code, level in enumerate(column.levels) for form in _forms(level)]
    texts = [form for form, _ in forms] + ["nan"] * bool(column.missing)
    weights = np.zeros((len(texts), width))
    other = len(column.levels) - 1 if column.type is Type.CATEGORY else None
    for row, (_, code) in enumerate(forms):
        if code:
            weights[row, code - 1] = 1.0
    if column.missing:
        weights[-1] = fill
        weights[-1, -1] = 1.0
    shift = np.zeros(width)
    if other is not None:
        weights[:, other] -= 1.0
        shift[other] = -1.0
    unknown = "ignore" if column.type is Type.CATEGORY else "error"
    one_hot = OneHotEncoder(
        categories=[np.array(texts, dtype=object)], handle_unknown=unknown, sparse_output=False
    )
    merge = FunctionTransformer(np.dot, kw_args={"b": weights})
    return make_pipeline(*_text(column, "nan"), one_hot, merge), shift
