"""A round's updates under secure aggregation: many go in, one mean of all rows comes out."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from runtime.link import flower
from runtime.privacy.fixed_point import Vector
from runtime.server import privacy
from runtime.server.guard import Sorted
from runtime.server.secure import SecureSum
from runtime.server.settings import RunSettings


def exchange(
    grid: Grid,
    settings: RunSettings,
    number: int,
    sent: list[Message],
    like: ArrayRecord,
    names: Callable[[int], str],
) -> Sorted:
    """Ask for a round's updates; return the masked ones, and the one reply that stands for all of them.

    Strategies take means or sums of replies, and of one reply these are itself.
    """
    curvature = sent[0].metadata.message_type.endswith("curvature")
    sizes = {name: array.numpy().size for name, array in like.items()}
    session = f"{settings.run_id}/round-{number}/{secrets.token_hex(4)}"
    summed = SecureSum(grid, session, settings.round_seconds, names).of(
        sent, 2 + sum(sizes.values()), privacy.train_metrics(settings)
    )
    rows, loss, values = summed.total[0], summed.total[1], summed.total[2:]
    record = _like(values if curvature else values / rows, like)
    metrics = {"num-examples": round(rows)}
    told = MetricRecord(metrics if settings.privacy_epsilon else {**metrics, "train-loss": loss / rows})
    content = RecordDict({"arrays": record, "metrics": told})
    nodes = [reply.metadata.src_node_id for reply in summed.replies]
    return Sorted(summed.replies, summed.lost, [flower.answer_of(nodes, "train", content)])


def _like(values: Vector, like: ArrayRecord) -> ArrayRecord:
    """Cut a vector into arrays of the names and shapes of others."""
    shapes = {name: array.numpy() for name, array in like.items()}
    ends = np.cumsum([array.size for array in shapes.values()])[:-1]
    parts = zip(shapes.items(), np.split(values, ends), strict=True)
    return ArrayRecord(
        {name: Array(part.reshape(array.shape).astype(array.dtype)) for (name, array), part in parts}
    )
