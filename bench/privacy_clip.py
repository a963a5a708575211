"""What the clipping norm does to a model with differential privacy: how its default was chosen.

python -m bench.privacy_clip [--json FILE] [--clips 2,4,5,6,7,8,10] [--seeds 2]

FedNewton, three silos, means over the four splits and the seeds. Calibration is the Brier score, and the mean
prediction over the share of positives (1 is right; Steyerberg, "Clinical prediction models", 2019, 15.3).
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
from rich.progress import track
from rich.table import Table

from bench.in_process import DATA, PRIVATE_ROUNDS, held_out, run, silos
from bench.tables import console, machine, save
from runtime.tabular import metrics
from runtime.tabular.data.silos import Split

EPSILONS: Final = (1.0, 3.0, 8.0)


def measured(epsilon: float, clip: float, how: Split, seed: int) -> dict[str, float]:
    """Return the scores of one private run on the test set, and the share of rows that the clip shortens."""
    test, rest = held_out(seed)
    with silos(rest, test, 3, how, seed) as federation:
        run(federation, "fednewton", PRIVATE_ROUNDS["fednewton"], privacy_epsilon=epsilon, privacy_clip=clip)
        model = joblib.load(federation.folder / "out" / "model.joblib")
    probability = model.predict_proba(test.x)[:, 1]
    length = np.linalg.norm(np.column_stack([model[:-1].transform(rest.x), np.ones(len(rest))]), axis=1)
    return {
        **metrics.scores(test.y, probability),
        "brier": float(np.mean((probability - test.y) ** 2)),
        "predicted / observed": float(probability.mean() / test.y.mean()),
        "rows shortened": float((length > clip).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--clips", default="2,4,5,6,7,8,10")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    clips = [float(clip) for clip in options.clips.split(",")]
    figures: dict[str, Any] = {}
    for epsilon, clip in track(list(product(EPSILONS, clips)), console=console, transient=True):
        found = [measured(epsilon, clip, how, seed) for how in Split for seed in range(options.seeds)]
        figures[f"{epsilon:g}/{clip:g}"] = {
            name: float(np.mean([one[name] for one in found])) for name in found[0]
        }
    names = ["roc_auc", "pr_auc", "log_loss", "brier", "predicted / observed", "rows shortened"]
    table = Table("epsilon", "clip", *names, title=DATA, caption=machine())
    for key, row in figures.items():
        table.add_row(*key.split("/"), *(f"{row[name]:.3f}" for name in names))
    console.print(table)
    save(figures, options.json)


if __name__ == "__main__":
    main()
