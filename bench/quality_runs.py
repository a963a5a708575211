"""One thing that bench/quality.py measures at a time, each in this process."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import joblib
import numpy as np
import xgboost as xgb
from sklearn.ensemble import HistGradientBoostingClassifier

from bench.in_process import PRIVATE_ROUNDS, ROBUST, held_out, lie, run, silos
from bench.quality_tables import CLOSE
from runtime.tabular import metrics, models, task_scores, weighted_scores
from runtime.tabular.data.silos import Split
from runtime.tabular.trees.bagging import PARAMETERS
from runtime.tabular.trees.ensemble import DEPTH

ROUNDS: Final = {"logistic": 30, "mlp": 10, "trees": 10}
"""How many rounds each model's strategies get at most; mlp and trees get the run's default."""

BOOSTED: Final = 100
"""Steps of the libraries' own trees."""

EPSILONS: Final = (1.0, 3.0, 8.0)
CLIENTS_WITH_LIAR: Final = 7
ROUNDS_WITH_LIAR: Final = 10
Figures = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A strategy to measure on every split."""

    model: str
    strategy: str
    clients: int = 3


def pooled() -> dict[str, Figures]:
    """Score each model's own library on all rows in one place, with as many passes as a federation makes."""
    test, rest = held_out()
    fitted = {name: models.fit_alone(models.load(name), rest, models.Fit(), ROUNDS[name]) for name in ROUNDS}
    said = {name: one.predict_proba(test.x)[:, 1] for name, one in fitted.items()}
    return {
        name: {
            **task_scores.final_scores(test, one),
            "intervals": weighted_scores.intervals(test, one),
        }
        for name, one in said.items()
    }


def learning(plan: Plan, how: Split, whole: dict[str, Figures]) -> Figures:
    """Run one strategy on one split, and see when it is as good as pooling.

    CPU seconds are those of the server and of all clients together, which share this process.
    """
    test, rest = held_out()
    with silos(rest, test, plan.clients, how) as federation:
        began = time.process_time()
        report = run(federation, plan.strategy, ROUNDS[plan.model], model=plan.model)
        seconds = time.process_time() - began
    goal = CLOSE * whole[plan.model]["roc_auc"]
    played = report["rounds"]
    reached = next((n for n, e in enumerate(played, start=1) if e["test"]["roc_auc"] >= goal), None)
    sent = [sum(part["bytes_up"] + part["bytes_down"] for part in e["clients"].values()) for e in played]
    return {
        **vars(plan),
        "split": how.value,
        **report["final"],
        "roc_auc_interval": report["intervals"]["roc_auc"],
        "rounds": len(played),
        "bytes": sum(sent) // plan.clients,
        "cpu_seconds": seconds,
        "rounds_to_pooled": reached,
        "bytes_to_pooled": sum(sent[:reached]) // plan.clients if reached else None,
    }


def cut(strategy: str, clients: int, how: Split, seed: int) -> Figures:
    """Run trees on another cut into test set and silos: one cut's difference from pooling is mostly luck.

    CPU seconds are those of the server and of all clients together, which share this process.
    """
    test, rest = held_out(seed)
    with silos(rest, test, clients, how, seed) as federation:
        began = time.process_time()
        report = run(federation, strategy, ROUNDS["trees"], model="trees", seed=seed)
        seconds = time.process_time() - began
    parts = [part for entry in report["rounds"] for part in entry["clients"].values()]
    return {
        "strategy": strategy,
        "clients": clients,
        "split": how.value,
        "seed": seed,
        "roc_auc": report["final"]["roc_auc"],
        "rounds": len(report["rounds"]),
        "bytes": sum(part["bytes_up"] + part["bytes_down"] for part in parts) // clients,
        "cpu_seconds": seconds,
    }


def pooled_trees(seed: int) -> Figures:
    """Score, on the rows of a cut in one place: the same trees, and two libraries' own."""
    test, rest = held_out(seed)
    ours = models.fit_alone(models.load("trees"), rest, models.Fit(seed=seed), ROUNDS["trees"])
    z, held = (ours[:-1].transform(rows.x) for rows in (rest, test))
    scikit = HistGradientBoostingClassifier(max_depth=DEPTH, early_stopping=False).fit(z, rest.y)
    parameters = PARAMETERS | {"seed": seed}
    xgboost = xgb.train(parameters, xgb.DMatrix(z, label=rest.y), num_boost_round=BOOSTED)
    found = {
        "pooled": ours.predict_proba(test.x)[:, 1],
        "scikit-learn": scikit.predict_proba(held)[:, 1],
        "xgboost": xgboost.predict(xgb.DMatrix(held)),
    }
    return {"seed": seed, **{name: metrics.scores(test.y, each)["roc_auc"] for name, each in found.items()}}


def private(strategy: str, how: Split, seeds: int) -> Figures:
    """Run with differential privacy; the noise differs from run to run, so each figure is a mean."""
    test, rest = held_out()
    found: Figures = {"strategy": strategy, "split": how.value, "rounds": PRIVATE_ROUNDS[strategy]}
    with silos(rest, test, how=how) as federation:
        for epsilon in (*EPSILONS, None):
            scored = [
                _calibrated(run(federation, strategy, PRIVATE_ROUNDS[strategy], privacy_epsilon=epsilon))
                for _ in range(seeds if epsilon else 1)
            ]
            auc = [one["roc_auc"] for one in scored]
            found[f"{epsilon:g}" if epsilon else "off"] = {
                **{name: statistics.mean(one[name] for one in scored) for name in scored[0]},
                "roc_auc_deviation": statistics.pstdev(auc),
            }
    return found


def _calibrated(report: Figures) -> dict[str, float]:
    """Return a model's scores, and its mean prediction over the share of positives: 1 is right."""
    groups = report["calibration"]["federated"]
    said, true = (sum(group["rows"] * group[name] for group in groups) for name in ("said", "true"))
    return {**report["final"], "predicted / observed": said / true}


def robust(strategy: str, how: Split) -> Figures:
    """Run with seven honest clients, and with one of them lying; None is a run that left no model."""
    test, rest = held_out()
    with silos(rest, test, CLIENTS_WITH_LIAR, how) as federation:
        plain = partial(
            run, federation, strategy, ROUNDS_WITH_LIAR, strategy_options=ROBUST.get(strategy, {})
        )
        honest, lied_to = (
            plain(**settings)["final"].get("roc_auc") for settings in ({}, {"poison": {"silo-0": lie}})
        )
    return {"strategy": strategy, "split": how.value, "honest": honest, "one liar": lied_to}


def proximal(mu: float) -> Figures:
    """See how far the first round goes from where it began: FedProx's term holds the clients back."""
    test, rest = held_out()
    strategy = ("fedprox", {"proximal_mu": mu}) if mu else ("fedavg", {})
    with silos(rest, test) as federation:
        run(federation, strategy[0], 1, strategy_options=strategy[1])
        coefficients = joblib.load(federation.folder / "out" / "model.joblib")[-1].coef_
    return {"proximal_mu": mu, "distance": float(np.linalg.norm(coefficients))}
