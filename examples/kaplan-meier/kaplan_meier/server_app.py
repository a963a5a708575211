"""The server: one question, and the survival curve of everybody's rows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask for counts and write `survival.csv`: time, at risk, events, and the share that survives."""
    content = RecordDict()
    sent = [Message(content, node, "query.counts") for node in grid.get_node_ids()]
    replies = [reply.content for reply in grid.send_and_receive(sent) if not reply.has_error()]
    rows = np.array([reply["metrics"]["num-examples"] for reply in replies], dtype=np.float64)
    counts = np.array([reply["counts"].to_numpy_ndarrays() for reply in replies])
    at_risk, events = np.rint(np.einsum("c,ckt->kt", rows, counts))
    survival = np.cumprod(1 - events / np.maximum(at_risk, 1))
    step = float(context.run_config["step"])
    with Path("survival.csv").open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["time", "at_risk", "events", "survival"])
        for number, values in enumerate(zip(at_risk, events, survival, strict=True), 1):
            write.writerow([number * step, *values])
