"""Tables as people have them: written to files, described, cut into silos, and federated in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import statsmodels.api as sm
from lifelines.datasets import load_rossi
from sklearn import datasets

from rehearsal.data import Silos, cut
from rehearsal.in_process import Federation
from runtime.tabular.data.describe import describe
from runtime.tabular.data.silos import Split


def breast_cancer() -> pd.DataFrame:
    frame = datasets.load_breast_cancer(as_frame=True).frame
    return frame.assign(target=frame["target"].map({0: "M", 1: "B"}))


def wine() -> pd.DataFrame:
    return datasets.load_wine(as_frame=True).frame


def diabetes() -> pd.DataFrame:
    return datasets.load_diabetes(as_frame=True, scaled=False).frame


def affairs() -> pd.DataFrame:
    """How many affairs, over the years of a marriage: a count with an exposure."""
    frame = sm.datasets.fair.load_pandas().data[::4]
    return pd.DataFrame(
        {
            "exposure": frame["yrs_married"],
            "age": frame["age"],
            "religious": frame["religious"],
            "children": frame["children"],
            "affairs": np.ceil(frame["affairs"]).astype(int),
        }
    )


def rossi() -> pd.DataFrame:
    return load_rossi()


def clinic(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Ids, texts, categories with a comma in a name, missing cells of three kinds, days and a text label."""
    rng = np.random.default_rng(seed)
    age = rng.normal(60, 10, rows).round(1)
    sex, site = rng.choice(["F", "M"], rows), rng.choice(["lung", "skin", "bone, soft", "colon"], rows)
    visits = rng.poisson(3, rows)
    born = pd.Timestamp("2020-01-01") - pd.to_timedelta((age * 365).astype(int), unit="D")
    eta = 0.05 * (age - 60) + 0.8 * (sex == "M") + 0.7 * (site == "skin") - 0.3 * np.log1p(visits)
    frame = pd.DataFrame(
        {
            "patient_id": [f"P{number:05d}" for number in range(rows)],
            "age": age,
            "sex": sex,
            "site": site,
            "cost": np.exp(rng.normal(5, 1, rows)).round(2),
            "visits": visits,
            "born": born.strftime("%Y-%m-%d"),
            "outcome": np.where(rng.random(rows) < 1 / (1 + np.exp(-eta)), "yes", "no"),
        }
    )
    frame.loc[rng.random(rows) < 0.1, "age"] = np.nan
    frame.loc[rng.random(rows) < 0.1, "site"] = "NA"
    frame.loc[rng.random(rows) < 0.1, "born"] = np.nan
    frame["visits"] = frame["visits"].where(rng.random(rows) > 0.1, -9)
    return frame


@dataclass(frozen=True)
class Table:
    """A table in silos."""

    folder: Path
    silos: Silos
    federation: Federation

    def run(self, **settings: Any) -> dict[str, Any]:
        return self.federation.run(**settings)

    def model(self) -> Any:
        return joblib.load(self.folder / "out" / "model.joblib")

    def coefficients(self) -> np.ndarray:
        last = self.model()[-1]
        return np.append(np.ravel(last.coef_), np.ravel(last.intercept_))

    def trained_on(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that no test set has: all that clients train on with validation 0."""
        names = [name for name in frame if name in pd.read_csv(self.folder / "silo-0.csv").columns]
        parts = [pd.read_csv(self.folder / f"{name}.csv", keep_default_na=False) for name in self.silos.silos]
        whole = pd.concat(parts)[names]
        return whole.reset_index(drop=True)


def split(
    folder: Path,
    frame: pd.DataFrame,
    *,
    clients: int = 3,
    plain: bool = False,
    how: Split = Split.IID,
    **changed: Any,
) -> Table:
    """Write a table, describe it, change what is said of its columns, and cut it."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "table.csv", index=False)
    schema = describe(folder / "table.csv")
    schema |= {name: value for name, value in changed.items() if name in schema}
    for column in schema["columns"]:
        column |= changed.get(column["name"], {})
    (folder / "schema.json").write_text(json.dumps(schema))
    silos = cut(folder / "table.csv", folder / "cut", clients=clients, how=how, seed=0)
    made = Federation.of(folder / "cut", silos.silos, silos.test)
    return Table(folder / "cut", silos, replace(made, plain=plain))
