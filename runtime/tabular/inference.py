"""Coefficients with standard errors, intervals and p-values, from the Hessian that was summed anyway."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from runtime.tabular.columns.columns import Task
from runtime.tabular.data.moments import Scaler
from runtime.tabular.data.schema import Schema
from runtime.tabular.models import Arrays
from runtime.tabular.models.linear_model import is_coefficient, to_vector

LEVEL: Final = 0.95
INTERCEPT: Final = "(intercept)"
PENALISED: Final = (
    "The penalty draws coefficients towards 0: errors, intervals and p-values are those of the penalised "
    "estimate's variance and say nothing of that bias. For inference use --penalty none."
)
NO_HESSIAN: Final = (
    "The steps went by gradients: there is no Hessian to take standard errors from (of a Cox model in sums, "
    "--strategy-option cell_means=1 asks for it)."
)
NOT_CONVERGED: Final = "The fit has not converged: there are no standard errors."

Matrix = npt.NDArray[np.float64]


def coefficients(
    schema: Schema,
    arrays: Arrays,
    scaler: Scaler,
    kept: Mapping[str, npt.NDArray[Any]],
    *,
    c: float,
    rows: int,
) -> dict[str, Any]:
    """Return the table of coefficients, each for one unit of its encoded column.

    Parameters
    ----------
    arrays
        The final model, of standardised columns.
    kept
        What FedNewton keeps: the Hessian of the summed loss, and whether it has converged.
    c
        Inverse strength of the penalty.
    rows
        All training rows.

    Returns
    -------
    dict
        `level`, `note`, and `rows`, each with `term`, `coefficient`, `standard_error`, `low`, `high`,
        `p_value`, of classes also `of` (against the first class). Numbers that there are none of are None: of
        a column that no row has a value in.
    """
    units, names = _units(schema, arrays, scaler)
    estimate = units @ to_vector(arrays)
    if schema.task is Task.LINEAR:
        estimate[-1] += arrays["label"][0]
    converged = bool(kept.get("converged", np.zeros(1))[0])
    note = None if math.isinf(c) else PENALISED
    if not converged or "hessian" not in kept:
        note = NO_HESSIAN if converged else NOT_CONVERGED
        return {
            "level": LEVEL,
            "note": note,
            "rows": _table(names, estimate, np.full(len(names), math.nan), None),
        }
    covariance, rank = _covariance(kept["hessian"], arrays, c)
    freedom = None
    if schema.task is Task.LINEAR:
        freedom = max(1, rows - rank)
        scale = 1.0 if math.isinf(c) else c
        on = is_coefficient(arrays) * (0.0 if math.isinf(c) else 1.0)
        theta = np.asarray(kept["theta"])
        covariance = covariance * 2 * (float(kept["loss"][0]) - float(on @ theta**2) / 2) / scale / freedom
    variance = np.einsum("ij,jk,ik->i", units, covariance, units)
    errors = np.where(variance > 0, np.sqrt(np.maximum(variance, 0.0)), math.nan)
    estimate = np.where(np.isnan(errors) & (estimate == 0.0), math.nan, estimate)
    return {"level": LEVEL, "note": note, "rows": _table(names, estimate, errors, freedom)}


def _covariance(hessian: Matrix, arrays: Arrays, c: float) -> tuple[Matrix, int]:
    """Return the estimate's covariance and the Hessian's rank: with a penalty, (H + P)^-1 H (H + P)^-1."""
    penalty = is_coefficient(arrays) * (0.0 if math.isinf(c) else 1.0 / c)
    bread = np.linalg.pinv(hessian + np.diag(penalty), hermitian=True, rcond=1e-12)
    rank = int(np.linalg.matrix_rank(hessian, hermitian=True))
    covariance = bread if math.isinf(c) else bread @ hessian @ bread
    return np.asarray(covariance, dtype=np.float64), rank


def _units(schema: Schema, arrays: Arrays, scaler: Scaler) -> tuple[Matrix, list[tuple[str, str | None]]]:
    """Return what takes standardised coefficients to those of one unit each, and the terms' names.

    Of classes, predictors are compared with the first class's: only differences mean anything.
    """
    coef, intercept = arrays["coef"], arrays["intercept"]
    k, d = coef.shape
    free = bool(intercept.size)
    width = d + free
    one = np.zeros((width, width))
    one[range(d), range(d)] = 1 / scaler.scale
    if free:
        one[d, :d], one[d, d] = -scaler.mean / scaler.scale, 1.0
    terms = [*schema.encoding.names, *([INTERCEPT] if free else [])]
    if schema.task is Task.LINEAR:
        one *= arrays["label"][1]
    if k == 1:
        return one, [(term, None) for term in terms]
    units = np.zeros(((k - 1) * width, k * width))
    for at in range(1, k):
        rows = slice((at - 1) * width, at * width)
        units[rows, at * width : (at + 1) * width], units[rows, :width] = one, -one
    return units, [(term, schema.classes[at]) for at in range(1, k) for term in terms]


def _table(
    names: list[tuple[str, str | None]], estimate: Matrix, errors: Matrix, freedom: int | None
) -> list[dict[str, Any]]:
    law = stats.norm() if freedom is None else stats.t(freedom)
    reach = float(law.ppf(0.5 + LEVEL / 2))
    made = []
    for (term, of), value, error in zip(names, estimate.tolist(), errors.tolist(), strict=True):
        p = 2 * float(law.sf(abs(value / error))) if error > 0 else math.nan
        entry = {"term": term, "coefficient": value, "standard_error": error}
        entry |= {"low": value - reach * error, "high": value + reach * error, "p_value": p}
        made.append({"of": of, **entry} if of is not None else entry)
    return made
