"""A round's updates under secure aggregation: many go in, one mean of all rows comes out."""

from __future__ import annotations

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.messages import ARRAYS, METRICS
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.server.aggregation.validation import Sorted
from runtime.tabular.server import privacy
from runtime.tabular.server.settings import RunSettings
from runtime.updates import MAX_SAMPLES


def exchange(
    aggregation: SecureAggregation, settings: RunSettings, number: int, sent: list[Message], like: ArrayRecord
) -> Sorted:
    """Ask for a round's updates; return the masked ones, and the one reply that stands for all of them.

    Strategies take means or sums of replies, and of one reply these are itself.
    """
    summed = aggregation.sum(sent, like, privacy.train_metrics(settings))
    rows, vector = round(summed.vector.rows), summed.vector
    if not 1 <= rows <= MAX_SAMPLES or abs(vector.rows - rows) > 1e-6 or not np.isfinite(vector.loss):
        raise impossible(number, f"it has {vector.rows:.6g} rows and a loss of {vector.loss:.6g}")
    kinds = {name: array.numpy().dtype for name, array in like.items()}
    arrays = {name: Array(array.astype(kinds[name])) for name, array in vector.arrays.items()}
    told = MetricRecord({"num-examples": rows})
    if settings.privacy_epsilon is None:
        told["train-loss"] = vector.loss / rows
    content = RecordDict({ARRAYS: ArrayRecord(arrays), METRICS: told})
    nodes = [reply.metadata.src_node_id for reply in summed.replies]
    sizes = {reply.metadata.src_node_id: flower.size_of(reply) for reply in summed.replies}
    return Sorted(summed.replies, summed.lost, [flower.answer_of(nodes, "train", content)], sizes)


def impossible(number: int, what: str) -> FedstackError:
    """Make the error of a sum that no rows can give."""
    return FedstackError(
        ExitCode.SECURE_AGGREGATION,
        f"Round {number}'s sum is impossible: {what}. A member sent numbers that no rows can give; under "
        "`updates: sums` nobody can know which.",
        "Nothing of this sum was used. Find out who did (each client's own ledger says what it sent), then "
        "go on with --resume.",
    )
