"""What every message of the server's passes before a handler sees it, and every answer before it leaves.

Flower calls such a function a mod of the ClientApp; it is the same one on every engine. The built-in app and
any other differ in how an answer becomes a vector that can be summed, and in who says what it releases.
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
from runtime.flower_app import FlowerApp
from runtime.link import flower
from runtime.messages import (
    ARRAYS,
    CONFIG,
    MASKED,
    METRICS,
    PLATFORM_KINDS,
    SECURE,
    MessageType,
    Releases,
    Secure,
    releases_of,
)
from runtime.privacy import averaged_reply, summed_vector
from runtime.privacy.averaged_reply import NotAveragedError

NOISE_METRICS = frozenset({"num-examples", "train-seconds", "epsilon", "epsilon-spent", "delta"})
"""All that a noisy answer may say beside its noisy arrays; none of it depends on what the rows hold."""

MASKED_METRICS = NOISE_METRICS - {"num-examples"}
"""All that a masked answer may say beside its masked array."""

_REFUSALS = frozenset({ExitCode.PRIVACY_POLICY, ExitCode.PRIVACY_BUDGET})


def privacy_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Apply the account's policy to a message for the built-in app, and mask the answer if it is summed.

    Raises
    ------
    FedstackError
        What the policy refuses, by name. From the first refusal on nothing is answered any more.
    """
    return BuiltIn().answer(message, context, call_next)


def privacy_mod_of(app: FlowerApp) -> Any:
    """Return the same for another app, by what it declares of its messages."""
    return Hosted(app).answer


def refused(context: Context) -> FedstackError | None:
    """Return why this node's account refused to go on, if it did."""
    return RunState(context).refused


class BuiltIn:
    """The policy over the built-in app: its handlers declare what each answer is made of."""

    def answer(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Let a message in and its answer out, or refuse it."""
        state = RunState(context)
        if (before := refused(context)) is not None:
            raise before
        try:
            return self._answer(message, context, call_next, state)
        except Exception as error:
            if isinstance(error, FedstackError) and error.code in _REFUSALS:
                state.refuse(error)
            else:
                state.failed()
            raise

    def releases(self, kind: str) -> Releases:
        """Return what the answer to a kind of message releases."""
        return releases_of(kind)

    def fix(self, message: Message, state: RunState) -> None:
        """Hold the server to the settings that a run may not change."""
        if CONFIG in message.content.config_records:
            state.fix(message.content.config_records[CONFIG])

    def noise_multiplier(self, message: Message) -> float | None:
        """Return the noise that the answer will have."""
        noisy = self.releases(message.metadata.message_type) is Releases.NOISE
        return terms_of(message).noise if noisy else None

    def declared(
        self, message: Message, context: Context, call_next: ClientAppCallable
    ) -> tuple[Message, Basis]:
        """Call the handler; an answer that does not say what it is made of does not leave."""
        with disclosure.declarations() as declared:
            reply = call_next(message, context)
        if len(declared) != 1:
            raise refusal(
                f"the app does not say what its answer to {message.metadata.message_type!r} is made of"
            )
        return reply, declared[0]

    def judge(
        self, policy: PrivacyPolicy, state: RunState, kind: str, basis: Basis, reply: Message, crowd: int
    ) -> None:
        """Refuse an answer that is made of too little."""
        before = None if basis.weights is None else state.told_before(len(basis.weights))
        disclosure.check(policy, kind, basis, crowd, before)
        if basis.weights is not None:
            state.remember(basis.weights)
        if self.releases(kind) is Releases.NOISE:
            if told := reply.content.metric_records[METRICS].keys() - NOISE_METRICS:
                raise refusal(f"the answer to {kind!r} would tell {sorted(told)} without noise")
            return
        if basis.cells is not None:
            arrays = {name: array.numpy() for name, array in reply.content.array_records[ARRAYS].items()}
            state.spend(kind, summed_vector.size(arrays) - 1, basis.cells * crowd, policy)

    def summand(self, kind: str, question: bytes, reply: Message) -> Answer:
        """Return an answer as the vector that is summed; row count and loss go into the sum as well."""
        metrics: dict[str, Any] = dict(reply.content.metric_records[METRICS])
        if kind == MessageType.CLIENT_GAIN:
            arrays: Mapping[str, Any] = {"gain": client_gain.summands(metrics)}
            return Answer(question, summed_vector.pack(kind, arrays, 0.0, 0.0), {})
        rows, loss = metrics.pop("num-examples"), metrics.pop("train-loss", 0.0)
        arrays = {name: array.numpy() for name, array in reply.content.array_records[ARRAYS].items()}
        clear = {name: value for name, value in metrics.items() if name in MASKED_METRICS}
        return Answer(question, summed_vector.pack(kind, arrays, rows, loss), clear)

    def _answer(
        self, message: Message, context: Context, call_next: ClientAppCallable, state: RunState
    ) -> Message:
        kind, policy = message.metadata.message_type, PrivacyPolicy.of(context)
        told = message.content.config_records.get(SECURE)
        releases = self.releases(kind)
        noise = self.noise_multiplier(message)
        policy.admit(kind, releases, masked=told is not None, noise_multiplier=noise)
        self.fix(message, state)
        if releases is Releases.NOTHING:
            return self.silent(message, call_next(message, context))
        if told is None or kind == MessageType.PREPARE_PRIVATE:
            state.count(kind, policy)
            reply, basis = self.declared(message, context, call_next)
            self.judge(policy, state, kind, basis, reply, crowd=1)
            return reply if told is None else _without_rows(reply)
        membership = secure_aggregation.membership_of(context, str(told.get(Secure.RUN)))
        if not membership.keys:
            raise refusal("a sum was asked for before its members were named")
        question = flower.question_of(message)
        answer = membership.answer
        if answer is None or answer.question != question:
            state.count(kind, policy)
            reply, basis = self.declared(message, context, call_next)
            self.judge(policy, state, kind, basis, reply, crowd=membership.crowd)
            answer = self.summand(kind, question, reply)
        return _masked(message, membership, answer, str(told.get(Secure.SUM)))

    def silent(self, message: Message, reply: Message) -> Message:  # noqa: ARG002 - Hosted looks at both
        """Return an answer that releases nothing: the built-in app's do not."""
        return reply


class Hosted(BuiltIn):
    """The policy over any other app, which knows nothing of Fedstack: its pyproject.toml declares."""

    def __init__(self, app: FlowerApp) -> None:
        self._app = app

    def releases(self, kind: str) -> Releases:
        """Return what the app declares; noise that nobody accounts for is none."""
        if kind in PLATFORM_KINDS:
            return Releases.NOTHING
        declared = self._app.released_by(kind)
        return Releases.PLAIN if declared is Releases.NOISE else declared

    def fix(self, message: Message, state: RunState) -> None:
        """Fix nothing: what an app's settings mean only the app knows."""

    def noise_multiplier(self, message: Message) -> float | None:  # noqa: ARG002 - whatever it says
        """Return None: nobody here knows an app's noise."""
        return None

    def declared(
        self, message: Message, context: Context, call_next: ClientAppCallable
    ) -> tuple[Message, Basis]:
        """Call the app; its answer says itself how many examples it is from, where it says so at all."""
        reply = call_next(message, context)
        try:
            rows = averaged_reply.weight_of(reply.content) if reply.has_content() else 0
        except NotAveragedError:
            rows = PrivacyPolicy.of(context).min_rows  # whether it can be summed is found with the sum
        return reply, Basis(rows=rows)

    def judge(
        self,
        policy: PrivacyPolicy,
        state: RunState,  # noqa: ARG002
        kind: str,
        basis: Basis,
        reply: Message,  # noqa: ARG002
        crowd: int,
    ) -> None:
        """Refuse an answer to be summed that is from too few examples; of its rows nothing is known here."""
        if policy.needs_sums:
            disclosure.check(policy, kind, basis, crowd)

    def summand(self, kind: str, question: bytes, reply: Message) -> Answer:
        """Return an answer as the vector that is summed, with what its numbers are."""
        try:
            vector, layout = averaged_reply.pack(reply.content)
        except NotAveragedError as error:
            raise refusal(
                f"the answer to {kind!r} cannot be summed, and it may leave in no other way: {error}"
            ) from None
        return Answer(question, vector, {}, averaged_reply.write(layout))

    def silent(self, message: Message, reply: Message) -> Message:
        """Refuse an answer that was to release nothing and holds something."""
        kind = message.metadata.message_type
        if kind not in PLATFORM_KINDS and reply.has_content() and any(map(len, reply.content.values())):
            raise refusal(f"the answer to {kind!r} was to release nothing and holds {list(reply.content)}")
        return reply


def _without_rows(reply: Message) -> Message:
    """Take the row count off the agreement to a noisy run whose sums have it."""
    metrics = reply.content.metric_records[METRICS]
    reply.content[METRICS] = MetricRecord({k: v for k, v in metrics.items() if k in MASKED_METRICS})
    return reply


def _masked(message: Message, membership: Membership, answer: Answer, sum_id: str) -> Message:
    words, commitment = membership.mask(sum_id, answer, summed_vector.words_of(message.metadata.message_type))
    secure: dict[str, Any] = {Secure.COMMITMENT: commitment}
    if answer.layout is not None:
        secure[Secure.LAYOUT] = answer.layout
    content = RecordDict(
        {
            ARRAYS: ArrayRecord({MASKED: Array(words)}),
            METRICS: MetricRecord(answer.metrics),
            SECURE: ConfigRecord(secure),
        }
    )
    return Message(content, reply_to=message)
