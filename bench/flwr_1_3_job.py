"""FedAvg of a scikit-learn model by flwr 1.3.0: one file that is the server, and starts its clients.

Run in an environment of its own (bench/peers.py); with --folder, where the silos lie as `site-N.npz`.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import flwr
import numpy as np
from flwr.client import NumPyClient
from flwr.common import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server.strategy import FedAvg
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from bench.flwr_1_3_worker import wait_for


class Client(NumPyClient):
    """Fits one silo."""

    def __init__(self, silo: Any, iterations: int) -> None:
        self._x, self._y = silo["x"], silo["y"]
        self._model = LogisticRegression(max_iter=iterations, warm_start=True)
        self._model.classes_ = np.array([0, 1])

    def _take(self, parameters: Any) -> None:
        self._model.coef_, self._model.intercept_ = parameters

    def fit(self, parameters: Any, config: Any) -> Any:  # noqa: ARG002 - flwr's names
        self._take(parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a few iterations are not meant to converge
            self._model.fit(self._x, self._y)
        return [self._model.coef_, self._model.intercept_], len(self._y), {}

    def evaluate(self, parameters: Any, config: Any) -> Any:  # noqa: ARG002 - flwr's names
        self._take(parameters)
        return float(log_loss(self._y, self._model.predict_proba(self._x))), len(self._y), {}


class Kept(FedAvg):
    """Keeps the last model, which start_server does not return."""

    model: Any = None

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        if failures:
            raise RuntimeError(f"{failures} in round {server_round}")
        made, told = super().aggregate_fit(server_round, results, failures)
        if made is not None:
            self.model = parameters_to_ndarrays(made)
        return made, told


def serve(folder: Path, clients: int, rounds: int, iterations: int) -> None:
    """Start the clients, run the job and write the final model's coefficients."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # start_server does not tell which port it got
        address = f"127.0.0.1:{free.getsockname()[1]}"
    width = np.load(folder / "site-1.npz")["x"].shape[1]
    strategy = Kept(
        min_fit_clients=clients,
        min_evaluate_clients=clients,
        min_available_clients=clients,
        initial_parameters=ndarrays_to_parameters([np.zeros((1, width)), np.zeros(1)]),
    )
    join = [sys.executable, "-m", "bench.flwr_1_3_job", "--address", address, "--iterations", str(iterations)]
    started = [
        subprocess.Popen([*join, "--data", str(folder / f"site-{number}.npz")])
        for number in range(1, clients + 1)
    ]
    config = flwr.server.ServerConfig(num_rounds=rounds)
    flwr.server.start_server(server_address=address, config=config, strategy=strategy)
    if any(one.wait() for one in started):
        raise SystemExit("a client failed")
    coef, intercept = strategy.model
    made = {"coef": np.ravel(coef).tolist(), "intercept": float(intercept[0])}
    (folder / "model.json").write_text(json.dumps(made), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--address")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=10)
    asked = parser.parse_args()
    if asked.data:
        wait_for(asked.address)
        client = Client(np.load(asked.data), asked.iterations)
        flwr.client.start_numpy_client(server_address=asked.address, client=client)
    else:
        serve(asked.folder, asked.clients, asked.rounds, asked.iterations)


if __name__ == "__main__":
    main()
