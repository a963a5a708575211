"""What the columns of a data set are: data, not code, so that another data set needs no Python.

A file `schema.json` beside the data declares them; without one, the data is the CMS file's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.contract import ExitCode, FedstackError
from runtime.tabular.columns.columns import CLASSES, Column, Role, Task, read_columns
from runtime.tabular.columns.encoding import Encoding

SCHEMA_FILE: Final = "schema.json"
FIRST_FORM: Final = ("name", "label", "features", "as_is", "classes", "rows")
"""What a schema of numbers behind a 0/1 label says; one of typed columns says name, rows, task, columns."""


@dataclass(frozen=True)
class Schema:
    """The columns of one kind of table: a 0/1 label first, then numbers; or typed columns in any order.

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
    task
        What is learnt.
    table
        The typed columns of the file, in any order; empty for a schema of numbers.
    """

    name: str
    label: str
    features: tuple[str, ...]
    as_is: tuple[str, ...] = ()
    classes: tuple[str, ...] = ("negative", "positive")
    rows: str = "rows"
    task: Task = Task.BINARY
    table: tuple[Column, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is used, the label first."""
        return (self.label, *self.features)

    @property
    def of_classes(self) -> bool:
        """Whether labels are classes, as codes from 0 on."""
        return self.task in CLASSES

    def column(self, role: Role) -> Column | None:
        """Return the typed column of a role that one has, if there is one."""
        return next((column for column in self.table if column.role is role), None)

    @property
    def grid(self) -> tuple[float, ...]:
        """The right ends of the cells that times are counted in."""
        time = self.column(Role.TIME)
        return () if time is None else time.grid

    @cached_property
    def encoding(self) -> Encoding:
        """How features become what a model takes."""
        typed = [column for column in self.table if column.role is Role.FEATURE]
        return Encoding.of(typed) if self.table else Encoding.of_numbers(self.features, self.as_is)

    @property
    def width(self) -> int:
        """How many numbers a model takes of a row: more than features, where there are levels."""
        return len(self.encoding.names)

    @property
    def logged(self) -> npt.NDArray[np.bool_]:
        """Which of the encoded columns are a log1p: shape (w,)."""
        return self.encoding.logged

    def transform(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return features as a model takes them but for scale; what is missing is 0: (n, d) to (n, w)."""
        return self.encoding.encode(x)

    def restore(self, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Undo `transform`, of a schema of numbers."""
        x = z.astype(np.float64)
        x[:, self.logged] = np.expm1(x[:, self.logged]).clip(min=0.0)
        return x

    def strata(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the groups that a split keeps the shares of: classes, or rows with an event; shape (n,)."""
        if self.of_classes:
            return y.astype(np.int64)
        return (y > 0).astype(np.int64) if self.task is Task.COX else np.zeros(len(y), dtype=np.int64)

    def declared(self) -> dict[str, Any]:
        """Return what schema.json says."""
        if not self.table:
            return {name: getattr(self, name) for name in FIRST_FORM}
        columns = [column.declared() for column in self.table]
        return {"name": self.name, "rows": self.rows, "task": self.task.value, "columns": columns}

    def digest(self) -> str:
        """Return what two parties compare to know that they mean the same columns."""
        return hashlib.sha256(json.dumps(self.declared(), sort_keys=True).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the schema beside the data in a folder."""
        (folder / SCHEMA_FILE).write_text(json.dumps(self.declared(), indent=1) + "\n")


def schema_of(place: Path) -> Schema:
    """Return the schema that a data file, or a folder of them, is declared to have.

    Raises
    ------
    FedstackError
        With ExitCode.DATA, naming all that is wrong with the declaration.
    """
    path = (place if place.is_dir() else place.parent) / SCHEMA_FILE
    if not os.path.lexists(path):
        return CMS
    try:
        said = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
    except OSError as error:
        raise _wrong(path, [f"it cannot be read: {error.strerror or error}"]) from error
    except (ValueError, RecursionError) as error:
        raise _wrong(path, [f"it is not JSON: {error}"]) from error
    if not isinstance(said, dict):
        raise _wrong(path, ["it is not an object"])
    if "columns" in said:
        schema, faults = of_columns(said)
        if schema is None:
            raise _wrong(path, faults)
        return schema
    if faults := _faults(said):
        raise _wrong(path, faults)
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return Schema(**{**said, **lists})


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Take no field twice: JSON would take the last one without a word."""
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(map(repr, twice))} is said more than once")
    return dict(pairs)


def of_columns(said: dict[str, Any]) -> tuple[Schema | None, list[str]]:
    """Return the schema that a declaration of typed columns makes, or all that is wrong with it."""
    faults = [
        f"{name!r} is no field of a schema" for name in said.keys() - {"name", "rows", "task", "columns"}
    ]
    faults += [
        f"{name!r} is {said[name]!r}, not text"
        for name in ("name", "rows")
        if not isinstance(said.get(name, ""), str)
    ]
    if not isinstance(said["columns"], list):
        return None, [*faults, "'columns' is no list"]
    columns, wrong = read_columns(said["columns"])
    try:
        task = Task(said.get("task", Task.BINARY))
    except ValueError:
        return None, [*faults, *wrong, f"'task' is {said['task']!r}; there are {', '.join(Task)}"]
    faults += wrong or _faults_of_roles(columns, task)
    if faults:
        return None, faults
    label = next(c for c in columns if c.role is (Role.TIME if task is Task.COX else Role.LABEL))
    features = tuple(column.name for column in columns if column.role is Role.FEATURE)
    made = Schema(
        said.get("name", "table"),
        label.name,
        features,
        rows=said.get("rows", "rows"),
        task=task,
        table=columns,
    )
    return replace(made, classes=label.levels) if task in CLASSES else made, []


def _faults_of_roles(columns: Sequence[Column], task: Task) -> list[str]:
    """Say what a task lacks or cannot use."""
    ones = (Role.TIME, Role.EVENT) if task is Task.COX else (Role.LABEL,)
    there = [column.role for column in columns]
    faults = [
        f"{task} needs one column of role {role}, and there are {there.count(role)}"
        for role in ones
        if there.count(role) != 1
    ]
    unused = {Role.LABEL, Role.TIME, Role.EVENT} - set(ones) | (
        {Role.EXPOSURE} if task is not Task.POISSON else set()
    )
    faults += [f"{task} has no use for a column of role {role}" for role in sorted(unused & set(there))]
    if there.count(Role.EXPOSURE) > 1:
        faults.append("there is more than one exposure")
    if Role.FEATURE not in there:
        faults.append("there is no feature")
    if task in CLASSES and not faults:
        levels = next(column.levels for column in columns if column.role is Role.LABEL)
        if len(levels) < 2 or (task is Task.BINARY and len(levels) != 2):
            faults.append(
                f"the label of {task} has levels {list(levels)}: list "
                f"{'two' if task is Task.BINARY else 'all'}"
            )
    return faults


def _faults(said: dict[str, Any]) -> list[str]:
    """Say all that is wrong with a declaration of numbers behind a 0/1 label."""
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
        'Write {"name": ..., "label": ..., "features": [...], "as_is": [...]}, or {"name": ..., '
        '"columns": [...]} as `fedstack data describe` does; see docs/how-to.md.',
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
