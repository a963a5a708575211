"""How a run opens where no client's own moments may be seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from runtime.contract import ExitCode, FedstackError, Updates
from runtime.messages import CONFIG, SECURE, MessageType, Secure
from runtime.privacy.fixed_point import Vector
from runtime.server.aggregation.secure_aggregation import SecureAggregation
from runtime.server.aggregation.validation import sort_replies
from runtime.server.run.join import Names, messages_to_all, need_quorum
from runtime.tabular import models
from runtime.tabular.data.moments import Moments
from runtime.tabular.server import privacy
from runtime.tabular.server.checkpoint import State
from runtime.tabular.server.prepare import begin, preparation_config, votes_like
from runtime.tabular.server.settings import RunSettings
from runtime.tabular.server.test_set import TestSet

Note = Callable[..., None]


def prepare_sums(
    aggregation: SecureAggregation, settings: RunSettings, names: Names, test: TestSet, note: Note
) -> State:
    """Make the scaler of all rows from two sums: of the features, then of their squares about the mean."""
    config = preparation_config(settings, test.rows.schema)
    schema = test.rows.schema
    kind, features = models.load(settings.model).of(schema), Array(np.zeros(schema.width))
    labels = Array(kind.label_sums(np.zeros(0, dtype=np.int64), None))
    content = RecordDict({CONFIG: config})
    first = aggregation.sum(
        _messages(aggregation, content, MessageType.FEATURE_SUMS),
        ArrayRecord({"sums": features, "labels": labels, "votes": Array(votes_like(kind))}),
        frozenset(),
    )
    sums, told = first.vector.arrays["sums"], first.vector.arrays["labels"]
    mean = sums / np.maximum(1.0, schema.encoding.observed_of(round(first.vector.rows), sums))
    content = RecordDict({CONFIG: ConfigRecord({**config, "feature-means": mean.tolist()})})
    asked = _messages(aggregation, content, MessageType.FEATURE_SQUARES)
    second = aggregation.sum(asked, ArrayRecord({"squares": features}), frozenset())
    members = [names.of(reply.metadata.src_node_id) for reply in second.replies]
    lost = {names.of(node): why for node, why in {**first.lost, **second.lost}.items()}
    need_quorum(settings, len(members), "could prepare their data", lost, note)
    rows = round(second.vector.rows)  # of who is left; asking for their mean again would tell who left
    moments = Moments(rows, mean, second.vector.arrays["squares"], schema)
    moments.check(schema)
    note("prepared", samples={"all": rows})
    first_model = begin(kind, settings, told, schema.width)
    nobody = dict.fromkeys(members, 0)
    votes = _of_who_is_left(first.vector.arrays["votes"], len(first.replies), len(members))
    return State(first_model, moments.scaler(), nobody, summed_rows=rows, label_sums=told, votes=votes)


def _of_who_is_left(votes: Vector, voters: int, members: int) -> Vector:
    """Return the votes without those of members that were lost since, which are taken to have been for it.

    Whose they were nobody can know: that way all who are left have voted for what the sum says that they did.
    """
    if not ((votes > -0.5) & (votes < voters + 0.5)).all():
        raise FedstackError(
            ExitCode.SECURE_AGGREGATION,
            f"The sum of {voters} members' votes is impossible: it is from {votes.min():.6g} to "
            f"{votes.max():.6g}. Under `updates: sums` nobody can know who sent what is no vote.",
            "Find out who did (each client's own ledger says what it sent), then run again.",
        )
    return votes - (voters - members)


def prepare_noise(grid: Grid, settings: RunSettings, names: Names, test: TestSet, note: Note) -> State:
    """Let every client check the whole run against its policy and budget; nothing is spent by that.

    The scaler is that of the server's own test rows: no client's row has a part in it, so it costs no budget.
    """
    content = RecordDict({CONFIG: preparation_config(settings, test.rows.schema)})
    if settings.updates is Updates.SUMS:
        content[SECURE] = ConfigRecord({Secure.RUN.value: settings.run_id})
    sent = messages_to_all(grid, content, MessageType.PREPARE_PRIVATE)
    answers = sort_replies(
        grid.send_and_receive(sent, timeout=settings.round_seconds), privacy.agree_metrics(settings)
    )
    members = [names.of(reply.metadata.src_node_id) for reply in answers.accepted]
    lost = {names.of(node): why for node, why in answers.refused.items()}
    need_quorum(settings, len(members), "agreed to the run", lost, note)
    told = {
        names.of(reply.metadata.src_node_id): reply.content.metric_records["metrics"]["epsilon"]
        for reply in answers.accepted
    }
    note("prepared", epsilon_planned=told)
    scaler = Moments.of(test.rows.x, test.rows.schema).scaler()
    return State(_initial(settings, test), scaler, dict.fromkeys(members, 0))


def _messages(aggregation: SecureAggregation, content: RecordDict, kind: MessageType) -> list[Message]:
    return [Message(content, node, kind.value) for node in aggregation.members]


def _initial(settings: RunSettings, test: TestSet) -> models.Arrays:
    return models.load(settings.model).of(test.rows.schema).initial(test.rows.schema.width, settings.seed)
