"""The Flower apps of the measurements: clients that do no training, a server that times its rounds."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from bench.child import Marks

MODEL: Final = {"coef": np.linspace(-1, 1, 49).reshape(1, 49), "intercept": np.ones(1)}
"""As large as the CMS task's model."""

client = ClientApp()
server = ServerApp()
_kept: dict[str, ArrayRecord] = {}


@client.train()
def train(message: Message, _context: Context) -> Message:
    """Return the model as it came."""
    metrics = MetricRecord({"num-examples": 1})
    content = RecordDict({"arrays": message.content["arrays"], "metrics": metrics})
    return Message(content, reply_to=message)


@client.evaluate()
def evaluate(message: Message, _context: Context) -> Message:
    """Return a loss."""
    metrics = MetricRecord({"num-examples": 1, "loss": 0.0})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@client.query("keep")
def keep(message: Message, _context: Context) -> Message:
    """Take arrays and return next to nothing."""
    _kept["arrays"] = message.content.array_records["arrays"]
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)


@client.query("give")
def give(message: Message, _context: Context) -> Message:
    """Return the arrays that were kept."""
    content = RecordDict({"arrays": _kept["arrays"], "metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=message)


class TimedFedAvg(FedAvg):
    """FedAvg with every client in every round, and a mark at the end of each."""

    def __init__(self, clients: int) -> None:
        super().__init__(min_train_nodes=clients, min_evaluate_nodes=clients, min_available_nodes=clients)
        self.marks = Marks()

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        aggregate = super().aggregate_evaluate(server_round, replies)
        if aggregate is None:
            raise RuntimeError(f"nobody answered in round {server_round}")
        self.marks.round_ended()
        return aggregate


def play(grid: Grid, clients: int, rounds: int) -> Marks:
    """Play rounds; return when each ended."""
    logging.getLogger("flwr").setLevel(logging.WARNING)
    strategy = TimedFedAvg(clients)
    arrays = ArrayRecord({name: Array(array) for name, array in MODEL.items()})
    strategy.start(grid=grid, initial_arrays=arrays, num_rounds=rounds, timeout=300)
    return strategy.marks


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Play rounds on one of Flower's own engines."""
    settings = context.run_config
    seconds = play(grid, int(settings["clients"]), int(settings["rounds"])).seconds()
    fresh = Path(str(settings["out"])).with_suffix(".tmp")
    fresh.write_text(json.dumps(seconds))
    fresh.replace(str(settings["out"]))
