"""What the columns of a data set are: data, not code, so that another data set needs no Python.

A file `schema.json` beside the data declares them; without one, the data is the CMS file's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.contract import ExitCode, FedstackError

SCHEMA_FILE: Final = "schema.json"


@dataclass(frozen=True)
class Schema:
    """The columns of one kind of table: a 0/1 label first, then numbers.

    Parameters
    ----------
    name
        What messages call the schema.
    label
        Name of the label column, the first of the file.
    features
        Names of the d feature columns, in the order of the file.
    as_is
        Features that the model takes as they are; of all others, which may not be negative, it takes log1p.
    classes
        What a row with label 0, and one with label 1, is called.
    rows
        What rows are called.
    """

    name: str
    label: str
    features: tuple[str, ...]
    as_is: tuple[str, ...] = ()
    classes: tuple[str, str] = ("negative", "positive")
    rows: str = "rows"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column in the order of the file, the label first."""
        return (self.label, *self.features)

    @cached_property
    def logged(self) -> npt.NDArray[np.bool_]:
        """Which features the model takes the log1p of: shape (d,)."""
        return np.array([name not in self.as_is for name in self.features])

    def transform(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Take the log1p of the features that have it, as a copy: shape (n, d) to (n, d)."""
        z = x.astype(np.float64)
        z[:, self.logged] = np.log1p(z[:, self.logged])
        return z

    def restore(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Undo `transform`."""
        x = z.astype(np.float64)
        x[:, self.logged] = np.expm1(x[:, self.logged]).clip(min=0.0)
        return x

    def digest(self) -> str:
        """Return what two parties compare to know that they mean the same columns."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the schema beside the data in a folder."""
        (folder / SCHEMA_FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")


def schema_of(place: Path) -> Schema:
    """Return the schema that a data file, or a folder of them, is declared to have.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, naming all that is wrong with the declaration.
    """
    path = (place if place.is_dir() else place.parent) / SCHEMA_FILE
    if not path.exists():
        return CMS
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _wrong(path, [f"it is not JSON: {error}"]) from error
    if not isinstance(said, dict):
        raise _wrong(path, ["it is not an object"])
    if faults := _faults(said):
        raise _wrong(path, faults)
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return Schema(**{**said, **lists})


def _faults(said: dict[str, Any]) -> list[str]:
    """Say all that is wrong with a declaration."""
    texts, lists = {"name", "label", "rows"}, {"features", "as_is", "classes"}
    faults = [f"{name!r} is no field of a schema" for name in said.keys() - texts - lists]
    faults += [f"{name!r} is missing" for name in ("name", "label", "features") if name not in said]
    faults += [f"{n!r} is {said[n]!r}, not text" for n in texts & said.keys() if not isinstance(said[n], str)]
    for name in sorted(lists & said.keys()):
        if not isinstance(said[name], list) or not all(isinstance(one, str) and one for one in said[name]):
            faults.append(f"{name!r} is not a list of names")
    if faults:
        return faults
    features = [said["label"], *said["features"]]
    if twice := sorted({name for name in features if features.count(name) > 1}):
        faults.append(f"{', '.join(twice)} is named more than once")
    if unknown := sorted(set(said.get("as_is", ())) - set(said["features"])):
        faults.append(f"'as_is' names {', '.join(unknown)}, which are no features")
    if not said["features"]:
        faults.append("'features' is empty")
    if len(said.get("classes", "ab")) != 2:
        faults.append("'classes' are not two names")
    return faults


def _wrong(path: Path, faults: list[str]) -> FedstackError:
    return FedstackError(
        ExitCode.DATA,
        f"{path} declares no schema: {'; '.join(faults)}.",
        'Write {"name": ..., "label": ..., "features": [...], "as_is": [...]}; see docs/how-to.md.',
        public=f"Its {SCHEMA_FILE} declares no schema.",
    )


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
    classes=("legitimate", "fraud"),
    rows="providers",
)
"""Medicare providers: 50 columns, one row per provider (public CMS files joined with the LEIE)."""
