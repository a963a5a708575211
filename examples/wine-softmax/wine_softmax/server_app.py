"""The server: federated averaging of softmax regressions, each client scoring what came out."""

from __future__ import annotations

import joblib
import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from wine_softmax import task

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, and save the model as scikit-learn loads it."""
    start = [np.zeros((task.KINDS, task.FEATURES)), np.zeros(task.KINDS)]
    result = FedAvg().start(
        grid=grid,
        initial_arrays=ArrayRecord(start),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
    joblib.dump(task.model(result.arrays.to_numpy_ndarrays(), 1), "model.joblib")
