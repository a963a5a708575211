"""The same trees on one data set: what pooling, or staying alone, gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime.tabular.trees import ensemble
from runtime.tabular.trees.boosting import STEPS_A_ROUND, Boosting
from runtime.tabular.trees.ensemble import Arrays, Floats
from runtime.tabular.trees.histograms import histograms, residuals

ETA, LEAST_ROWS, BINS = 0.4, 11, 16
"""What a run's strategy has by default (runtime/tabular/strategies/catalogue.py)."""


def grow(z: Floats, y: npt.NDArray[np.int64], weight: Floats, c: float, seed: int, rounds: int) -> Arrays:
    """Boost for so many rounds, with nobody to tell anything to.

    Parameters
    ----------
    z, y, weight
        Standardised features (n, d), labels and weights of the rows.
    c
        Inverse strength of the L2 penalty on leaves.
    """
    boosting = Boosting(1 / c, ETA, LEAST_ROWS, BINS, limited=False)
    boosting.begin(len(z), z.shape[1], seed)
    known = ensemble.Margins(z)
    while boosting.steps < STEPS_A_ROUND * rounds:
        boosting.take(answer(boosting, z, known.of(boosting.arrays), y, weight))
    return boosting.arrays


def answer(
    boosting: Boosting, z: Floats, margin: Floats, y: npt.NDArray[np.int64], weight: Floats
) -> dict[str, Floats]:
    """Return the sums over some rows that are asked for."""
    sketch, question = boosting.question()
    if sketch is not None:
        return {"counts": sketch.count(z), "positives": np.array([float(y.sum())])}
    assert question is not None  # noqa: S101 - one of them is asked
    assert boosting.bins is not None  # noqa: S101 - the bins come first
    gradient, hessian = residuals(margin, y)
    own = histograms(question, boosting.bins, z, np.rint(gradient * weight), np.rint(hessian * weight))
    return {"gradients": own.gradients, "weights": own.weights}
