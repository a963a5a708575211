"""A logistic model by NVFlare's simulator, by FedAvg or Newton's method: its job and its clients' script.

Run in an environment of its own (bench/peers.py); a job with --folder, where the silos lie as `site-N.npz`.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

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


def curve(silos: str) -> None:
    """Answer each round with the gradient and the Hessian of one silo, as NVFlare's own example does."""
    import nvflare.client as flare

    flare.init()
    silo = np.load(Path(silos) / f"{flare.get_site_name()}.npz")
    x, y = np.column_stack([np.ones(len(silo["y"])), silo["x"]]), silo["y"][:, None]
    while flare.is_running():
        weights = np.asarray(flare.receive().params["numpy_key"])
        p = 1 / (1 + np.exp(-(x @ weights)))
        told = {"gradient": x.T @ (y - p), "hessian": x.T @ (x * (p * (1 - p)))}
        flare.send(flare.FLModel(params=told, meta={"NUM_STEPS_CURRENT_ROUND": len(y)}))


def simulate(folder: Path, clients: int, rounds: int, way: str) -> None:
    """Run the job in NVFlare's simulator and write the final model's coefficients."""
    from nvflare.recipe import SimEnv, set_per_site_config

    sites = [f"site-{number}" for number in range(1, clients + 1)]
    recipe = (_newton if way == "--newton" else _fedavg)(folder, clients, rounds)
    if way != "--newton":
        given = {site: {"train_args": f"--data {folder / site}.npz {way}"} for site in sites}
        set_per_site_config(recipe, given)
    recipe.execute(SimEnv(clients=sites, num_threads=clients, workspace_root=str(folder / "work")))
    kind = "weights.npy" if way == "--newton" else "*.joblib"
    found = max((folder / "work").rglob(kind), key=lambda path: path.stat().st_mtime)
    if way == "--newton":
        weights = np.load(found)
        made = {"coef": weights[1:, 0].tolist(), "intercept": float(weights[0, 0])}
    else:
        import joblib

        params = joblib.load(found)  # the simulator's own, of a moment ago
        made = {
            "coef": np.ravel(params["coef"]).tolist(),
            "intercept": float(np.ravel(params["intercept"])[0]),
        }
    (folder / "model.json").write_text(json.dumps(made), encoding="utf-8")


def _fedavg(folder: Path, clients: int, rounds: int) -> Any:  # noqa: ARG001 - as the other one
    from nvflare.app_opt.sklearn.recipes.fedavg import SklearnFedAvgRecipe

    return SklearnFedAvgRecipe(
        name="peer",
        min_clients=clients,
        num_rounds=rounds,
        model_params={"n_classes": 2},
        train_script=str(Path(__file__)),
    )


def _newton(folder: Path, clients: int, rounds: int) -> Any:
    from nvflare.app_common.np.recipes.lr.fedavg import FedAvgLrRecipe

    return FedAvgLrRecipe(
        name="peer",
        min_clients=clients,
        num_rounds=rounds,
        damping_factor=1.0,
        num_features=np.load(folder / "site-1.npz")["x"].shape[1],
        train_script=str(Path(__file__)),
        train_args=f"--data {folder} --newton",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--newton", action="store_true")
    asked, _ = parser.parse_known_args(sys.argv[1:])
    if asked.data and asked.newton:
        curve(asked.data)
    elif asked.data:
        train(asked.data, asked.iterations)
    else:
        way = "--newton" if asked.newton else f"--iterations {asked.iterations}"
        simulate(asked.folder, asked.clients, asked.rounds, way)


if __name__ == "__main__":
    main()
