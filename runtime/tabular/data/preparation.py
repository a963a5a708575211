"""Prepare a silo for training: validation rows set aside first, SMOTE on the rest only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.columns.rare import check_smote, joined, smallest_group
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.holdout import beyond_border
from runtime.tabular.data.moments import Moments, Scaler, merge

__all__ = ["Moments", "Prepared", "Scaler", "merge", "prepare"]

NEIGHBOURS: Final = 5
"""Minority neighbours that SMOTE interpolates between (Chawla et al. 2002), fewer when there are fewer."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A silo ready for training.

    Parameters
    ----------
    train
        The rows to fit on: the silo's own first, SMOTE's synthetic ones after them.
    validation
        Rows of the silo that neither the fit nor SMOTE sees; may be empty.
    original_rows
        How many rows of `train` are the silo's own.
    """

    train: Dataset
    validation: Dataset
    original_rows: int

    def transformed_rows(self) -> npt.NDArray[np.float64]:
        """Return the silo's own training rows as the scaler sees them: shape (original_rows, d)."""
        return self.train.schema.transform(self.train.x[: self.original_rows])

    @cached_property
    def smallest_group(self) -> int | None:
        """Of how many own training rows the smallest group is that a sum would tell apart."""
        return smallest_group(self.train.take(np.arange(self.original_rows)))

    def moments(self) -> Moments:
        """Return the moments of the training rows before SMOTE.

        Synthetic rows would pull the common scaler towards the minority, by as much as each silo lacks it.
        """
        return Moments.of(self.train.x[: self.original_rows], self.train.schema)


def prepare(dataset: Dataset, *, validation: float, smote: bool, seed: int, fewest: int = 1) -> Prepared:
    """Split off the validation rows, then balance the training rows if asked to.

    Parameters
    ----------
    dataset
        The silo; it may lack a label.
    validation
        Share of each label's rows to set aside, from 0 to below 1; a label's only row is trained on.
    smote
        Whether to add synthetic minority rows until the labels are even.
    seed
        The same seed gives the same rows.
    fewest
        Rows that may be alone with a level or a missing value; fewer are joined with others.
    """
    if smote and (reason := check_smote(dataset.schema)):
        raise FedstackError(ExitCode.CONFIG, f"{reason[0].upper()}{reason[1:]}.", "Leave out --smote.")
    if not 0 <= validation < 1:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The validation fraction is {validation}.",
            "Give one from 0 to below 1, such as 0.2.",
        )
    aside = np.zeros(len(dataset), dtype=bool)
    if validation > 0:
        aside = beyond_border(dataset, validation, np.random.default_rng(seed))
    own = joined(dataset.take(~aside), fewest)
    return Prepared(_balanced(own, seed) if smote else own, dataset.take(aside), len(own))


def _balanced(dataset: Dataset, seed: int) -> Dataset:
    """Append SMOTE's rows; none where the labels are even or the minority has no two rows to lie between.

    Neighbours are sought among standardised features, where the model works: among raw columns the
    largest sums alone would decide who is near.
    """
    minority, majority = sorted(np.bincount(dataset.y, minlength=2).tolist())
    if minority < 2 or minority == majority:
        return dataset
    from imblearn.over_sampling import SMOTE  # a second of imports that a run without SMOTE need not wait for

    scaler = StandardScaler()
    z = scaler.fit_transform(dataset.transformed())
    sampler = SMOTE(k_neighbors=min(NEIGHBOURS, minority - 1), random_state=seed)
    z, y = sampler.fit_resample(z, dataset.y)
    synthetic = dataset.schema.restore(scaler.inverse_transform(z[len(dataset) :]))
    return Dataset(np.concatenate([dataset.x, synthetic]), y.astype(np.int64), dataset.schema)
