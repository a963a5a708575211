"""What the columns of a data set are: data, not code, so that another schema is another value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Schema:
    """The columns of one kind of table: a 0/1 label first, then non-negative numbers.

    Parameters
    ----------
    name
        What messages call the schema.
    label
        Name of the label column, the first of the file.
    features
        Names of the d feature columns, in the order of the file.
    """

    name: str
    label: str
    features: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column in the order of the file, the label first."""
        return (self.label, *self.features)


def _aggregates(quantities: Sequence[str], statistics: Sequence[str]) -> tuple[str, ...]:
    """Name the columns of one joined table: each quantity once per statistic."""
    return tuple(f"{quantity}_{statistic}" for quantity in quantities for statistic in statistics)


DMEPOS = (
    "tot_suplrs",
    "tot_suplr_benes",
    "tot_suplr_clms",
    "tot_suplr_srvcs",
    "avg_suplr_sbmtd_chrg",
    "avg_suplr_mdcr_pymt_amt",
)
"""Durable medical equipment that the provider referred, per service."""

PART_B = (
    "bene_unique_cnt",
    "line_svc_cnt",
    "bene_day_srvc_cnt",
    "average_submitted_chrg_amt",
    "average_medicare_payment_amt",
)
"""Services that the provider billed, per service."""

PART_D = (
    "total_claim_count",
    "total_30_day_fill_count",
    "total_day_supply",
    "total_drug_cost",
    "bene_count",
)
"""Drugs that the provider prescribed, per drug."""

CMS = Schema(
    name="cms",
    label="fraudulent_provider",
    features=(
        "female",
        *_aggregates(DMEPOS, ("standard_deviation", "mean", "sum")),
        *_aggregates(PART_B + PART_D, ("mean", "sum", "standard_deviation")),
    ),
)
"""Medicare providers: 50 columns, one row per provider (public CMS files joined with the LEIE)."""
