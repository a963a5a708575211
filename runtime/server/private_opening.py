"""How a run opens where no client's own moments may be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from flwr.serverapp import Grid

from runtime.privacy.fixed_point import Vector
from runtime.server import privacy
from runtime.server.checkpoint import State
from runtime.server.evaluation import TestSet
from runtime.server.guard import sort_replies
from runtime.server.opening import Names, messages_to_all, need_quorum, preparation_config
from runtime.server.secure import SecureSum
from runtime.server.settings import RunSettings
from runtime.task import models
from runtime.task.moments import Moments, Scaler

Note = Callable[..., None]

CONSTANT: Final = 1e-9
"""Variance, relative to the squared mean, below which a column is constant but for fixed-point rounding."""


def prepare(grid: Grid, settings: RunSettings, names: Names, test: TestSet, note: Note) -> State:
    """Ask every client to agree to the run's privacy, and get a scaler that tells nothing of one client.

    With differential privacy the scaler is that of the server's own test rows: no client's row has a part
    in it, so it costs no budget. With secure aggregation alone it is made of the sum of all moments.
    """
    if settings.privacy_epsilon is not None:
        members = _agreed(grid, settings, names, test, note)
        return State(
            _initial(settings, test),
            Moments.of(test.rows.x, test.rows.schema).scaler(),
            dict.fromkeys(members, 0),
        )
    content = RecordDict({"config": preparation_config(settings, test.rows.schema)})
    sent = messages_to_all(grid, content, "query.prepare")
    features = test.rows.x.shape[1]
    summed = SecureSum(grid, f"{settings.run_id}/prepare", settings.round_seconds, names.of).of(
        sent, 2 + 2 * features, privacy.prepare_metrics(settings)
    )
    members = [names.of(reply.metadata.src_node_id) for reply in summed.replies]
    lost = {names.of(node): why for node, why in summed.lost.items()}
    need_quorum(settings, len(members), "agreed to the run", lost, note)
    note("prepared", samples={"all": int(summed.total[0])})
    return State(_initial(settings, test), scaler_of(summed.total), dict.fromkeys(members, 0))


def scaler_of(total: Vector) -> Scaler:
    """Return the scaler of all rows, given how many, a place for the loss, and sums and sums of squares."""
    count, sums, squares = total[0], *np.split(total[2:], 2)
    mean = sums / count
    variance = squares / count - mean**2
    return Scaler(mean, np.where(variance <= CONSTANT * (1 + mean**2), 1.0, np.sqrt(np.abs(variance))))


def _agreed(grid: Grid, settings: RunSettings, names: Names, test: TestSet, note: Note) -> list[str]:
    """Let every client check the whole run against its floor and budget; nothing is spent by that."""
    content = RecordDict({"config": preparation_config(settings, test.rows.schema)})
    if settings.secure_aggregation:
        content["secure"] = ConfigRecord({"session": f"{settings.run_id}/prepare"})
    sent = messages_to_all(grid, content, "query.prepare_private")
    answers = sort_replies(
        grid.send_and_receive(sent, timeout=settings.round_seconds), privacy.prepare_metrics(settings)
    )
    members = [names.of(reply.metadata.src_node_id) for reply in answers.accepted]
    lost = {names.of(node): why for node, why in answers.refused.items()}
    need_quorum(settings, len(members), "agreed to the run", lost, note)
    told = {
        names.of(reply.metadata.src_node_id): reply.content.metric_records["metrics"]["epsilon"]
        for reply in answers.accepted
    }
    note("prepared", epsilon_planned=told)
    return members


def _initial(settings: RunSettings, test: TestSet) -> models.Arrays:
    return models.load(settings.model).initial(test.rows.x.shape[1], settings.seed)
