"""Every task against its pooled reference: the same coefficients on 1, 3 and 10 silos, and at what cost."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import pandas as pd
from sklearn import datasets

from rehearsal.data import cut
from rehearsal.in_process import Federation
from runtime.tabular.data.describe import describe
from runtime.tabular.data.schema import of_columns
from runtime.tabular.data.silos import Split
from runtime.tabular.models import Fit

SILOS: Final = (1, 3, 10)
Figures = dict[str, Any]


def _statsmodels_fair() -> pd.DataFrame:
    import statsmodels.api as sm

    frame = sm.datasets.fair.load_pandas().data
    names = {"yrs_married": "exposure", "affairs": "target"}
    return frame.assign(affairs=np.ceil(frame["affairs"]).astype(int)).rename(columns=names)


def _lifelines_rossi() -> pd.DataFrame:
    from lifelines.datasets import load_rossi

    return load_rossi()


TABLES: Final[Mapping[str, tuple[Callable[[], pd.DataFrame], Mapping[str, Any]]]] = {
    "breast cancer": (lambda: datasets.load_breast_cancer(as_frame=True).frame, {}),
    "wine": (lambda: datasets.load_wine(as_frame=True).frame, {}),
    "diabetes": (lambda: datasets.load_diabetes(as_frame=True, scaled=False).frame, {}),
    "affairs over years of marriage": (_statsmodels_fair, {}),
    "rossi, cells of 26 weeks": (_lifelines_rossi, {"week": {"grid": [26, 52]}}),
}
"""Public tables that packages ship, and what is changed of their first schema."""


def task(name: str, clients: int) -> Figures:
    """Run one table on so many silos, in sums where there are three, and compare with pooling."""
    logging.getLogger("flwr").setLevel(logging.WARNING)
    frame, changed = TABLES[name][0](), TABLES[name][1]
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(place)
        frame.to_csv(folder / "table.csv", index=False)
        said = describe(folder / "table.csv")
        for column in said["columns"]:
            column |= changed.get(column["name"], {})
        schema, faults = of_columns(said)
        if schema is None:
            raise ValueError(f"{name}: {faults}")
        schema.save(folder)
        silos = cut(folder / "table.csv", folder / "cut", clients=clients, how=Split.IID, seed=0)
        federation = Federation.of(folder / "cut", silos.silos, silos.test)
        if clients != 3:  # one silo is no sum, and of these small tables a tenth is refused
            federation = Federation(federation.folder, federation.silos, federation.test, plain=True)
        started = time.process_time()
        report = federation.run(validation=0.0)
        seconds = time.process_time() - started
        found = joblib.load(folder / "cut/out/model.joblib")[-1]
        pooled = federation.pooled(Fit(), validation=0.0)[-1]
    ours, theirs = (np.append(np.ravel(one.coef_), np.ravel(one.intercept_)) for one in (found, pooled))
    parts = [part for entry in report["rounds"] for part in entry["clients"].values()]
    score = report["scores"][0]
    return {
        "table": name,
        "task": report["task"],
        "silos": clients,
        "updates": report["privacy"]["updates"],
        "score": f"{score['title']} {report['final'][score['name']]:.3f}",
        "away": float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(theirs).max()))),
        "coefficients": ours.tolist(),
        "rounds": len(report["rounds"]),
        "bytes": sum(part["bytes_up"] + part["bytes_down"] for part in parts) // clients,
        "cpu_seconds": seconds,
    }
