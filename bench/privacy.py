"""What privacy buys and what secure sums cost; what noise costs in accuracy is in bench/quality.py.

python -m bench.privacy --json privacy.json [--seeds 5] [--trials 10000]

On the CMS file where this machine has it, else on the stand-in. The attacks are those of the Adversarial
Robustness Toolbox (the extra `bench`): the rule (a row is a member if the model is right about it)
and the black box, a random forest over prediction and label that the attacker trains on half of the true
members and of as many others, which is more than a real one has. Both are judged on the other halves, where
guessing is right half of the time. The audit is that of bench/privacy_audit.py: lower bounds on epsilon.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from art.attacks.inference.membership_inference import (
    MembershipInferenceBlackBox,
    MembershipInferenceBlackBoxRuleBased,
)
from art.estimators.classification.scikitlearn import ScikitlearnLogisticRegression
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

from bench import privacy_audit
from bench.in_process import PRIVATE_ROUNDS, held_out, providers, run, silos
from runtime.privacy.accountant import noise_for
from runtime.tabular.data.dataset import Dataset
from runtime.tabular.data.silos import Split, hold_out

EPSILONS = (1.0, 3.0, 8.0, None)
DELTA = 1e-5
Figures = dict[str, Any]


def membership(seeds: int) -> Figures:
    """How often attacks are right about who was trained on.

    Half of the file is: too much for so small a model to remember anybody, so the attacks fail without
    privacy, too. And 400 rows without a penalty are, which it does remember: there they have to be stopped.
    """
    found: Figures = {}
    for rows, c, repeats in ((None, 1.0, seeds), (400, 1e4, 20 * seeds)):
        for limit in EPSILONS:
            right: dict[str, list[float]] = {"rule": [], "black box": []}
            for seed in range(repeats):
                members, others = (
                    side.take(some(side, rows, seed)) for side in hold_out(providers(), 0.5, seed)
                )
                with silos(members, others, how=Split.IID) as federation:
                    run(federation, "fednewton", PRIVATE_ROUNDS["fednewton"], privacy_epsilon=limit, c=c)
                    model = joblib.load(federation.folder / "out" / "model.joblib")
                for name, value in attacks(model, members, others, seed).items():
                    right[name].append(value)
            found[f"{rows or 'half of the'} rows, C {c:g}, epsilon {limit or 'off'}"] = {
                **{name: statistics.mean(values) for name, values in right.items()},
                "standard error": max(statistics.stdev(v) for v in right.values()) / repeats**0.5,
                "any attack at most": float(norm.cdf(1 / noise_for(limit, DELTA, 1) / 2)) if limit else 1.0,
            }
    return found


def some(side: Dataset, rows: int | None, seed: int) -> Any:
    """Return the numbers of so many of a data set's rows, or of all."""
    return np.sort(np.random.default_rng(seed).permutation(len(side))[:rows])


def attacks(model: Any, members: Dataset, others: Dataset, seed: int) -> dict[str, float]:
    """Return each attack's accuracy on as many members as others."""
    rng, count = np.random.default_rng(seed), min(len(members), len(others)) // 2
    features = model[:-1]
    sides = [side.take(rng.permutation(len(side))[: 2 * count]) for side in (members, others)]
    known, judged = (
        [(features.transform(side.x[part]), side.y[part]) for side in sides]
        for part in (slice(count), slice(count, None))
    )
    estimator = ScikitlearnLogisticRegression(model[-1])
    box = MembershipInferenceBlackBox(estimator, attack_model_type="rf")
    box.fit(*known[0], *known[1])
    rule = MembershipInferenceBlackBoxRuleBased(estimator)
    return {
        name: float(np.mean([attack.infer(*judged[0]) == 1, attack.infer(*judged[1]) == 0]))
        for name, attack in (("rule", rule), ("black box", box))
    }


def overhead() -> Figures:
    """Seconds and bytes of a round with and without secure sums."""
    found: Figures = {}
    test, rest = held_out()
    for clients in (3, 10):
        with silos(rest, test, clients, Split.IID) as federation:
            for strategy, rounds in PRIVATE_ROUNDS.items():
                for updates in ("plain", "sums"):
                    played = run(federation, strategy, rounds, updates=updates)["rounds"]
                    found[f"{strategy}, {clients} clients, {updates}"] = {
                        "seconds": statistics.median(entry["seconds"] for entry in played),
                        "update_bytes": played[0]["clients"]["silo-0"]["bytes_up"],
                    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument(
        "--seeds", type=int, default=5, help="runs that each figure is the mean of; two or more"
    )
    parser.add_argument("--trials", type=int, default=10_000, help="of each bound on epsilon")
    options = parser.parse_args()
    report = {
        "audit": privacy_audit.audit(options.trials),
        "membership": membership(options.seeds),
        "overhead": overhead(),
    }
    options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for title, rows in report.items():
        table = Table(title, *next(iter(rows.values())))
        for name, figures in rows.items():
            table.add_row(name, *(f"{value:,.4f}".rstrip("0").rstrip(".") for value in figures.values()))
        Console().print(table)


if __name__ == "__main__":
    main()
