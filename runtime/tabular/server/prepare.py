"""How a run of the built-in app opens: every client's moments are merged into one scaler."""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from runtime.contract import FedstackError
from runtime.errors import printable
from runtime.server.aggregation.validation import decoded, sort_replies
from runtime.server.run.join import Names, messages_to_all, need_quorum
from runtime.tabular import models
from runtime.tabular.data.moments import Moments, merge
from runtime.tabular.data.schema import Schema
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
    refused: dict[int, str] = dict(replies.refused)
    for reply in replies.accepted:
        node = reply.metadata.src_node_id
        try:
            claim = str(reply.content.config_records["client"]["name"])
            moments[names.learn(node, claim)] = _moments(reply, schema)
        except (FedstackError, KeyError, ValueError, TypeError) as error:
            refused[node] = printable(error)
    lost = {names.of(node): reason for node, reason in refused.items()}
    need_quorum(settings, len(moments), "could prepare their data", lost, note)
    merged = merge(list(moments.values()))
    samples = {name: one.count for name, one in moments.items()}
    note("prepared", samples=samples)
    return State(
        arrays=models.load(settings.model).initial(len(merged.mean), settings.seed),
        scaler=merged.scaler(),
        samples=samples,
    )


def preparation_config(settings: RunSettings, schema: Schema) -> ConfigRecord:
    """Say which columns are meant and how clients split and balance their rows: the same in every message."""
    return ConfigRecord(
        {
            "schema": schema.digest(),
            "validation": settings.validation,
            "smote": settings.smote,
            "seed": settings.seed,
            **privacy.config(settings),
        }
    )


def _moments(reply: Message, schema: Schema) -> Moments:
    return Moments.from_arrays(decoded(reply.content.array_records["moments"]), schema)
