"""Settings, a test set and states of the server, without any run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rehearsal.in_process import providers
from runtime.tabular.data.moments import Moments
from runtime.tabular.data.schema import CMS
from runtime.tabular.models import Arrays, load
from runtime.tabular.server.checkpoint import State
from runtime.tabular.server.settings import RunSettings, parse
from runtime.tabular.server.test_set import TestSet

NAMES = ("clinic", "insurer")


def given(out: Path, **changed: Any) -> dict[str, Any]:
    """Return the values of valid settings: of a federation of two, whose updates can only be plain."""
    clients = [{"name": name, "mailbox": f"file:///mail/{name}"} for name in NAMES]
    updates = "plain" if changed.get("privacy_epsilon") is None else "noise"  # two clients are no sum
    return {"clients": clients, "test_data": out / "test.csv", "out": out, "updates": updates} | changed


def settings(out: Path, **changed: Any) -> RunSettings:
    return parse(given(out, **changed))


def held_out() -> TestSet:
    """Return some rows of both labels."""
    rows = np.r_[np.flatnonzero(providers().y == 0)[:60], np.flatnonzero(providers().y == 1)[:20]]
    return TestSet(providers().take(rows), load("logistic"))


def arrays(value: float) -> Arrays:
    return {"coef": np.full((1, len(CMS.features)), value), "intercept": np.array([value / 3])}


def entry(number: int, loss: float, *absent: str) -> dict[str, Any]:
    """Return what the report says about a round."""
    clients = {
        name: {
            "samples": 0 if name in absent else 40,
            "train_seconds": 0.25,
            "bytes_up": 400,
            "bytes_down": 800,
            "status": "'coef' has 1 NaN" if name in absent else "ok",
            "validation": None,
        }
        for name in NAMES
    }
    test = {"roc_auc": 0.8, "pr_auc": 0.4, "log_loss": loss, "accuracy": 0.9}
    return {"round": number, "seconds": 1.5, "test": test, "clients": clients}


def state(*losses: float, absent: tuple[str, ...] = ()) -> State:
    """Return the state after rounds with these losses; each round's model is full of the round's number."""
    scaler = Moments.of(providers().x).scaler()
    made = State(arrays=arrays(0.0), scaler=scaler, samples=dict.fromkeys(NAMES, 40))
    for number, loss in enumerate(losses, start=1):
        made.advance(arrays(number / 100), entry(number, loss, *absent))
    return made
