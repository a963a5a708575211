"""What every message of the server's passes before a handler sees it, and every answer before it leaves.

Flower calls such a function a mod of the ClientApp; it is the same one on every engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable

from runtime.client import client_gain, disclosure, secure_aggregation
from runtime.client.disclosure import Basis
from runtime.client.privacy_policy import PrivacyPolicy, refusal
from runtime.client.request import terms_of
from runtime.client.run_state import RunState
from runtime.client.secure_aggregation import Answer, Membership
from runtime.contract import ExitCode, FedstackError
from runtime.link import flower
from runtime.messages import (
    ARRAYS,
    CONFIG,
    MASKED,
    METRICS,
    SECURE,
    MessageType,
    Releases,
    Secure,
    releases_of,
)
from runtime.privacy import summed_vector

NOISE_METRICS = frozenset({"num-examples", "train-seconds", "epsilon", "epsilon-spent", "delta"})
"""All that a noisy answer may say beside its noisy arrays; none of it depends on what the rows hold."""

MASKED_METRICS = NOISE_METRICS - {"num-examples"}
"""All that a masked answer may say beside its masked array."""

_REFUSALS = frozenset({ExitCode.PRIVACY_POLICY, ExitCode.PRIVACY_BUDGET})


def privacy_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Apply the account's policy to a message, and mask the answer if a sum is asked for.

    Raises
    ------
    FedstackError
        What the policy refuses, by name. From the first refusal on nothing is answered any more.
    """
    state = RunState(context)
    if (before := refused(context)) is not None:
        raise before
    try:
        return _answer(message, context, call_next, state)
    except Exception as error:
        if isinstance(error, FedstackError) and error.code in _REFUSALS:
            state.refuse(error)
        else:
            state.failed()
        raise


def refused(context: Context) -> FedstackError | None:
    """Return why this node's account refused to go on, if it did."""
    return RunState(context).refused


def _answer(message: Message, context: Context, call_next: ClientAppCallable, state: RunState) -> Message:
    kind, policy = message.metadata.message_type, PrivacyPolicy.of(context)
    told = message.content.config_records.get(SECURE)
    releases = releases_of(kind)
    noise = terms_of(message).noise if releases is Releases.NOISE else None
    policy.admit(kind, masked=told is not None, noise_multiplier=noise)
    if CONFIG in message.content.config_records:
        state.fix(message.content.config_records[CONFIG])
    if releases is Releases.NOTHING:
        return call_next(message, context)
    if told is None or kind == MessageType.PREPARE_PRIVATE:
        state.count(kind, policy)
        reply, basis = _declared(message, context, call_next)
        _judge(policy, state, kind, basis, reply, crowd=1)
        return reply if told is None else _without_rows(reply)
    membership = secure_aggregation.membership_of(context, str(told.get(Secure.RUN)))
    if not membership.keys:
        raise refusal("a sum was asked for before its members were named")
    question = flower.question_of(message)
    answer = membership.answer
    if answer is None or answer.question != question:
        state.count(kind, policy)
        reply, basis = _declared(message, context, call_next)
        _judge(policy, state, kind, basis, reply, crowd=membership.crowd)
        answer = _summand(kind, question, reply)
    return _masked(message, membership, answer, str(told.get(Secure.SUM)))


def _declared(message: Message, context: Context, call_next: ClientAppCallable) -> tuple[Message, Basis]:
    """Call the handler; an answer that does not say what it is made of does not leave."""
    with disclosure.declarations() as declared:
        reply = call_next(message, context)
    if len(declared) != 1:
        raise refusal(f"the app does not say what its answer to {message.metadata.message_type!r} is made of")
    return reply, declared[0]


def _judge(
    policy: PrivacyPolicy, state: RunState, kind: str, basis: Basis, reply: Message, crowd: int
) -> None:
    before = None if basis.weights is None else state.told_before(len(basis.weights))
    disclosure.check(policy, kind, basis, crowd, before)
    if basis.weights is not None:
        state.remember(basis.weights)
    if releases_of(kind) is Releases.NOISE:
        if told := reply.content.metric_records[METRICS].keys() - NOISE_METRICS:
            raise refusal(f"the answer to {kind!r} would tell {sorted(told)} without noise")
        return
    if basis.cells is not None:
        arrays = {name: array.numpy() for name, array in reply.content.array_records[ARRAYS].items()}
        state.spend(kind, summed_vector.size(arrays) - 1, basis.cells * crowd, policy)


def _without_rows(reply: Message) -> Message:
    """Take the row count off the agreement to a noisy run whose sums have it."""
    metrics = reply.content.metric_records[METRICS]
    reply.content[METRICS] = MetricRecord({k: v for k, v in metrics.items() if k in MASKED_METRICS})
    return reply


def _summand(kind: str, question: bytes, reply: Message) -> Answer:
    """Return an answer as the vector that is summed; row count and loss go into the sum as well."""
    metrics: dict[str, Any] = dict(reply.content.metric_records[METRICS])
    if kind == MessageType.CLIENT_GAIN:
        arrays: Mapping[str, Any] = {"gain": client_gain.summands(metrics)}
        return Answer(question, summed_vector.pack(kind, arrays, 0.0, 0.0), {})
    rows, loss = metrics.pop("num-examples"), metrics.pop("train-loss", 0.0)
    arrays = {name: array.numpy() for name, array in reply.content.array_records[ARRAYS].items()}
    return Answer(question, summed_vector.pack(kind, arrays, rows, loss), metrics)


def _masked(message: Message, membership: Membership, answer: Answer, sum_id: str) -> Message:
    words, commitment = membership.mask(sum_id, answer, summed_vector.words_of(message.metadata.message_type))
    metrics = {name: value for name, value in answer.metrics.items() if name in MASKED_METRICS}
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({MASKED: Array(words)}),
            METRICS: MetricRecord(metrics),
            SECURE: ConfigRecord({Secure.COMMITMENT: commitment}),
        }
    )
    return Message(content, reply_to=message)
