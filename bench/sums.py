"""Rounds under `updates: sums`: FedNewton's update, masked and unmasked, from clients that do no training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from bench.child import Marks, Usage
from bench.echo import MODEL
from runtime.client import disclosure, secure_aggregation
from runtime.client.disclosure import Basis
from runtime.client.signing_key import make_file
from runtime.contract import PrivacyOption
from runtime.link.flower import number_of
from runtime.link.grid import LinkGrid
from runtime.messages import ARRAYS, CONFIG, METRICS, SECURE, MessageType
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.tabular.client.tabular_mod import TabularMod

SIZE: Final = 50
RUN: Final = "run-bench"
UPDATE: Final = {
    "loss": np.ones(1),
    "gradient": np.linspace(-1, 1, SIZE),
    "hessian": np.eye(SIZE),
}
"""As large as FedNewton's on the CMS task."""

client = ClientApp(mods=[TabularMod()])


@client.train("curvature")
def curvature(message: Message, _context: Context) -> Message:
    """Return the same update whatever is asked."""
    disclosure.declare(Basis(rows=1000))
    metrics = MetricRecord({"num-examples": 1000, "train-seconds": 0.0, "train-loss": 0.5})
    arrays = ArrayRecord({name: Array(array) for name, array in UPDATE.items()})
    return Message(RecordDict({ARRAYS: arrays, METRICS: metrics}), reply_to=message)


@client.query("secure_keys")
@client.query("secure_members")
@client.query("secure_unmask")
def step(message: Message, context: Context) -> Message:
    """Take a step of secure aggregation."""
    return Message(RecordDict({SECURE: secure_aggregation.step(message, context)}), reply_to=message)


def policies(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Make signing keys for clients; return the config of each one's node."""
    keys = {name: make_file(folder / f"{name}.pem") for name in names}
    return {
        name: {
            "name": name,
            PrivacyOption.SIGNING_KEY: f"file://{folder / name}.pem",
            PrivacyOption.COHORT: " ".join(f"{other}={key}" for other, key in keys.items() if other != name),
            PrivacyOption.MAX_ANSWERS: 10_000,
        }
        for name in names
    }


def play(grid: LinkGrid, names: list[str], rounds: int) -> dict[str, Any]:
    """Play rounds; return the seconds of the key exchange, and what each round after the first cost."""
    known, usage, marks = {number_of(name): name for name in names}, Usage(), Marks()
    started = time.perf_counter()
    aggregation = SecureAggregation(grid, RUN, known.__getitem__, lambda: 300.0)
    aggregation.open(sorted(known))
    opened = time.perf_counter() - started
    like = ArrayRecord({name: Array(array) for name, array in UPDATE.items()})
    model = ArrayRecord({name: Array(array) for name, array in MODEL.items()})
    for number in range(rounds):
        content = RecordDict({ARRAYS: model, CONFIG: ConfigRecord({"server-round": number})})
        asked = [Message(content, node, MessageType.CURVATURE.value) for node in aggregation.members]
        summed = aggregation.sum(asked, like, frozenset({"train-seconds"}))
        marks.round_ended()
        if not np.allclose(summed.vector.arrays["gradient"], len(names) * UPDATE["gradient"]):
            raise RuntimeError("the sum is wrong")
    return {"opened": opened, **usage.figures(marks)}
