"""How a run of the built-in app opens: every client's moments are merged into one scaler."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from runtime.contract import FedstackError
from runtime.errors import printable
from runtime.server.aggregation.validation import decoded, sort_replies
from runtime.server.run.join import Names, messages_to_all, need_quorum
from runtime.tabular import models
from runtime.tabular.data.moments import Moments, merge
from runtime.tabular.data.schema import Schema
from runtime.tabular.models.linear_model import LinearModel
from runtime.tabular.server import privacy
from runtime.tabular.server.checkpoint import State
from runtime.tabular.server.settings import RunSettings


def prepare(
    grid: Grid, settings: RunSettings, schema: Schema, names: Names, note: Callable[..., None]
) -> State:
    """Ask every client for the moments of its features and merge them into the scaler of the run."""
    content = RecordDict({"config": preparation_config(settings, schema)})
    sent = messages_to_all(grid, content, "query.prepare")
    replies = sort_replies(
        grid.send_and_receive(sent, timeout=settings.round_seconds), privacy.PREPARE_METRICS
    )
    moments: dict[str, Moments] = {}
    kind = models.load(settings.model).of(schema)
    labels, votes = list[npt.NDArray[np.float64]](), np.zeros_like(votes_like(kind))
    refused: dict[int, str] = dict(replies.refused)
    for reply in replies.accepted:
        node = reply.metadata.src_node_id
        try:
            claim = str(reply.content.config_records["client"]["name"])
            told, voted = _told(reply, kind)
            moments[names.learn(node, claim)] = _moments(reply, schema)
            labels.append(told)
            votes += voted
        except (FedstackError, KeyError, ValueError, TypeError) as error:
            refused[node] = printable(error)
    lost = {names.of(node): reason for node, reason in refused.items()}
    need_quorum(settings, len(moments), "could prepare their data", lost, note)
    merged = merge(list(moments.values()))
    samples = {name: one.count for name, one in moments.items()}
    note("prepared", samples=samples)
    sums = np.sum(labels, axis=0)
    first = begin(kind, settings, sums, len(merged.mean))
    return State(arrays=first, scaler=merged.scaler(), samples=samples, label_sums=sums, votes=votes)


def begin(
    kind: models.Model, settings: RunSettings, sums: npt.NDArray[np.float64], width: int
) -> models.Arrays:
    """Return the model of round 0: FedNewton's intercept is what the labels alone say."""
    arrays = kind.labelled(kind.initial(width, settings.seed), sums)
    if not isinstance(kind, LinearModel) or settings.strategy != "fednewton":
        return arrays
    return kind.started(arrays, sums, models.Fit(class_weight=settings.class_weight))


def preparation_config(settings: RunSettings, schema: Schema) -> ConfigRecord:
    """Say which columns are meant and how clients split and balance their rows: the same in every message."""
    return ConfigRecord(
        {
            "schema": schema.digest(),
            "model": settings.model,
            "validation": settings.validation,
            "smote": settings.smote,
            "seed": settings.seed,
            **privacy.config(settings),
        }
    )


def votes_like(kind: models.Model) -> npt.NDArray[np.float64]:
    """Return an array of the shape of a client's vote on what it lets out; other models have none."""
    return kind.fitting(0, 0.0) if isinstance(kind, LinearModel) else np.zeros(0)


def _told(reply: Message, kind: models.Model) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what a client says of its labels, and its vote."""
    told = decoded(reply.content.array_records["labels"])
    sums, votes = told["sums"], told["votes"]
    likes = (kind.label_sums(np.zeros(0, dtype=np.int64), None), votes_like(kind))
    for array, like in zip((sums, votes), likes, strict=True):
        if array.shape != like.shape or array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(
                f"the labels' sums or votes are {array.dtype} of shape {array.shape}, or not finite"
            )
    return sums, np.clip(votes, 0.0, 1.0)


def _moments(reply: Message, schema: Schema) -> Moments:
    return Moments.from_arrays(decoded(reply.content.array_records["moments"]), schema)
