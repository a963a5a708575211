"""FedAvg of a scikit-learn model by NVFlare's simulator: one file that is its job and its clients' script.

Run in an environment of its own (bench/peers.py); a job with --folder, where the silos lie as `site-N.npz`.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression


def train(data: str, iterations: int) -> None:
    """Answer the simulator's rounds from one silo, as NVFlare's own scikit-learn example does."""
    import nvflare.client as flare

    flare.init()
    silo = np.load(data)
    model = LogisticRegression(max_iter=iterations, warm_start=True)
    while flare.is_running():
        params = flare.receive().params
        if "coef" in params:
            model.coef_, model.intercept_ = np.asarray(params["coef"]), np.asarray(params["intercept"])
            model.classes_ = np.array([0, 1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a few iterations are not meant to converge
            model.fit(silo["x"], silo["y"])
        told = {"coef": model.coef_, "intercept": model.intercept_}
        rows = {"NUM_STEPS_CURRENT_ROUND": len(silo["y"])}
        flare.send(flare.FLModel(params=told, params_type=flare.ParamsType.FULL, meta=rows))


def simulate(folder: Path, clients: int, rounds: int, iterations: int) -> None:
    """Run the job in NVFlare's simulator and write the final model's coefficients."""
    from nvflare.app_opt.sklearn.recipes.fedavg import SklearnFedAvgRecipe
    from nvflare.recipe import SimEnv, set_per_site_config

    recipe = SklearnFedAvgRecipe(
        name="peer",
        min_clients=clients,
        num_rounds=rounds,
        model_params={"n_classes": 2},
        train_script=str(Path(__file__)),
    )
    sites = [f"site-{number}" for number in range(1, clients + 1)]
    given = {site: {"train_args": f"--data {folder / site}.npz --iterations {iterations}"} for site in sites}
    set_per_site_config(recipe, given)
    env = SimEnv(clients=sites, num_threads=clients, workspace_root=str(folder / "work"))
    recipe.execute(env)
    import joblib

    found = sorted((folder / "work").rglob("*.joblib"), key=lambda path: path.stat().st_mtime)
    params = joblib.load(found[-1])  # the simulator's own, of a moment ago
    made = {"coef": np.ravel(params["coef"]).tolist(), "intercept": float(np.ravel(params["intercept"])[0])}
    (folder / "model.json").write_text(json.dumps(made), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=10)
    asked, _ = parser.parse_known_args(sys.argv[1:])
    if asked.data:
        train(asked.data, asked.iterations)
    else:
        simulate(asked.folder, asked.clients, asked.rounds, asked.iterations)


if __name__ == "__main__":
    main()
