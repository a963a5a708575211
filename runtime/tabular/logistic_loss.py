"""The logistic loss and its derivatives on one silo, and how a silo minimises its share of it.

Written out because federated methods need its parts: the proximal term of FedProx, and the gradient and
Hessian of FedNewton. Unlike scikit-learn's fit it takes silos with one label, too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.utils.class_weight import compute_sample_weight

from runtime.tabular.summed_loss import NOTHING_KNOWN, Curvature, Rows, SummedLoss, Vector

__all__ = ["Curvature", "LogisticLoss", "Vector"]


class LogisticLoss(SummedLoss):
    """The logistic loss of one silo's rows.

    Parameters
    ----------
    z
        Standardised features, shape (n, d).
    y
        Labels 0 or 1, shape (n,).
    balanced
        Weigh each label by the inverse of its share in this silo.
    weight
        What each row weighs, shape (n,); then `balanced` does not count.
    """

    def __init__(
        self,
        z: npt.NDArray[np.float64],
        y: npt.NDArray[np.int64],
        *,
        balanced: bool = False,
        weight: npt.NDArray[np.float64] | None = None,
    ) -> None:
        own = compute_sample_weight("balanced" if balanced else None, y)
        super().__init__(z, y, own if weight is None else weight)

    def rows(self, eta: npt.NDArray[np.float64]) -> Rows:
        """Return each row's loss and its derivatives."""
        margin = eta[:, 0]
        p = expit(margin)
        loss = np.logaddexp(0.0, margin) - self._y * margin
        return Rows(loss, (p - self._y)[:, None], (p * (1 - p))[:, None, None])

    def null(self) -> float:
        """Return what a probability of one half loses."""
        return NOTHING_KNOWN
