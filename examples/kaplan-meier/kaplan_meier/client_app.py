"""The client: how many are at risk, and how many events there are, at each step of time."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query("counts")
def counts(message: Message, context: Context) -> Message:
    """Count over the rows of a CSV with the columns `time` and `event` (1 for an event, 0 for censored)."""
    place = Path(str(context.node_config["data"]))
    with (next(place.glob("*.csv")) if place.is_dir() else place).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    time = np.array([float(row["time"]) for row in rows])
    event = np.array([float(row["event"]) for row in rows])
    step = float(context.run_config["step"])
    steps = np.arange(step, float(context.run_config["last-time"]) + step / 2, step)
    rounded = np.ceil(time / step) * step
    at_risk = (rounded[None, :] >= steps[:, None]).mean(axis=1)
    events = ((rounded[None, :] == steps[:, None]) * event).mean(axis=1)
    # Means per row, as whoever averages replies by their examples expects.
    content = RecordDict(
        {
            "counts": ArrayRecord([at_risk, events]),
            "metrics": MetricRecord({"num-examples": len(rows)}),
        }
    )
    return Message(content, reply_to=message)
