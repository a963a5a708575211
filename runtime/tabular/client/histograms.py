"""The client's answers for trees that are grown over all silos: counts for the bins, then histograms."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from runtime.client.disclosure import Groups, Guard
from runtime.client.privacy_policy import refusal
from runtime.tabular import models
from runtime.tabular.client.request import Request
from runtime.tabular.data.moments import Scaler
from runtime.tabular.data.preparation import Prepared
from runtime.tabular.trees import ensemble
from runtime.tabular.trees.histograms import UNIT, Bins, Question, histograms, read_grid, residuals
from runtime.tabular.trees.sketch import count

LARGEST_SUM = 10**9


def bins(request: Request, prepared: Prepared) -> models.Arrays:
    """Count the silo's rows up to each point of a grid, and its positive ones."""
    z = request.standardised(prepared.train)
    try:
        grid = read_grid(request.config, "bin-grid", "bin-grid-counts", z.shape[1])
    except (ValueError, TypeError) as error:
        raise refusal(str(error)) from None
    update = {"counts": count(z, grid), "positives": np.array([float(prepared.train.y.sum())])}
    nobody = np.zeros(0, dtype=np.int64)
    _declare(request, prepared, _size(update), (nobody, nobody), ())
    return update


def sums(request: Request, prepared: Prepared) -> tuple[models.Arrays, float]:
    """Return the histograms of the silo's rows that are asked for, and the model's mean loss on them."""
    z, arrays = request.standardised(prepared.train), request.arrays
    try:
        edges = Bins(read_grid(request.config, "bin-edges", "bin-counts", z.shape[1]))
        question = Question.read(request.config, edges)
    except (ValueError, TypeError) as error:
        raise refusal(f"the histograms asked for cannot be: {error}") from None
    if (fault := ensemble.fault(arrays, z.shape[1])) is not None:
        raise refusal(f"the trees that were sent are none: {fault}")
    y, margin = prepared.train.y, _margin(request, prepared, z)
    gradient, weight = residuals(margin, y)
    own = histograms(question, edges, z, gradient, weight)
    update = {"gradients": own.gradients, "weights": own.weights}
    loss = float((np.logaddexp(0.0, margin) - y * margin).mean())
    guards = [
        Guard(*(np.concatenate([[0, 0], part, part]).astype(np.int64) for part in pair))
        for pair in ((own.left, own.claimed_left), (own.right, own.claimed_right))
    ]
    shares = (np.abs(gradient) * UNIT, weight * UNIT)
    _declare(
        request,
        prepared,
        _size(update),
        own.groups,
        tuple(guards if question.level else ()),
        loss=loss,
        shares=shares,
    )
    return update, loss


def _margin(request: Request, prepared: Prepared, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rows' log-odds; of the last question's trees they are known."""
    scaler, (before, known) = request.scaler, _margins.get(prepared, (None, None))
    if known is None or not (
        before is not None
        and np.array_equal(before.mean, scaler.mean)
        and np.array_equal(before.scale, scaler.scale)
    ):
        known = ensemble.Margins(z)
        _margins[prepared] = scaler, known
    return known.of(request.arrays)


_margins: WeakKeyDictionary[Prepared, tuple[Scaler, ensemble.Margins]] = WeakKeyDictionary()
"""A cache of what can be computed anew."""


def _declare(
    request: Request, prepared: Prepared, size: int, groups: Any, guards: tuple[Guard, ...], **more: Any
) -> None:
    """Say what the answer is made of; all of it is readable only if there are as many rows as are claimed."""
    claimed, width = int(request.number("rows")), prepared.train.x.shape[1] + 1
    if not 1 <= claimed <= LARGEST_SUM:
        raise refusal("there cannot be so many rows")
    rows = Guard(*(np.full(size, count, dtype=np.int64) for count in (prepared.original_rows, claimed)))
    told = Groups(groups[0], groups[1], claimed * width)
    own = len(prepared.train) * width
    request.declare(prepared, cells=own, groups=told, guards=(rows, *guards), **more)


def _size(update: models.Arrays) -> int:
    """Return how many numbers are summed: rows and loss as well (runtime/privacy/summed_vector.py)."""
    return 2 + sum(len(array) for array in update.values())
