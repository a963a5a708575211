"""What every message of the server's passes before a handler sees it, and every answer before it leaves.

Flower calls such a function a mod of the ClientApp; it is the same one on every engine. Apps differ in how an
answer becomes a vector that can be summed, and in who says what it releases.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable

from runtime.client import disclosure, secure_aggregation
from runtime.client.disclosure import Basis
from runtime.client.privacy_policy import PrivacyPolicy, refusal
from runtime.client.run_state import RunState
from runtime.client.secure_aggregation import Answer, Membership
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import FlowerApp
from runtime.link import flower
from runtime.messages import (
    ARRAYS,
    MASKED,
    METRICS,
    PLATFORM_KINDS,
    SECURE,
    Releases,
    Secure,
)
from runtime.privacy import averaged_reply, summed_vector
from runtime.privacy.averaged_reply import NotAveragedError

_REFUSALS = frozenset({ExitCode.PRIVACY_POLICY, ExitCode.PRIVACY_BUDGET})


def refused(context: Context) -> FedstackError | None:
    """Return why this node's account refused to go on, if it did."""
    return RunState(context).refused


class PrivacyMod(ABC):
    """The account's policy over an app; what an answer of the app's is made of its subclass knows."""

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Let a message in and its answer out, or refuse it; if it is summed, mask it.

        Raises
        ------
        FedstackError
            What the policy refuses, by name. From the first refusal on nothing is answered any more.
        """
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

    @abstractmethod
    def releases(self, kind: str) -> Releases:
        """Return what the answer to a kind of message releases."""

    @abstractmethod
    def declared(
        self, message: Message, context: Context, call_next: ClientAppCallable
    ) -> tuple[Message, Basis]:
        """Call the app; return its answer, and what that is made of."""

    @abstractmethod
    def judge(
        self, policy: PrivacyPolicy, state: RunState, kind: str, basis: Basis, reply: Message, crowd: int
    ) -> None:
        """Refuse an answer that is made of too little."""

    @abstractmethod
    def summand(self, kind: str, question: bytes, reply: Message) -> Answer:
        """Return an answer as the vector that is summed."""

    def fix(self, message: Message, state: RunState) -> None:  # noqa: B027 - an app may have nothing to fix
        """Hold the server to the settings that a run may not change."""

    def noise_multiplier(self, message: Message) -> float | None:  # noqa: ARG002 - most have none
        """Return the noise that the answer will have, where somebody accounts for it."""
        return None

    def silent(self, message: Message, reply: Message) -> Message:  # noqa: ARG002 - some look at both
        """Return an answer that releases nothing."""
        return reply

    def in_clear(self, kind: str) -> bool:  # noqa: ARG002 - most have no such kind
        """Whether a kind of a run of sums is answered without a mask: it says nothing of the rows."""
        return False

    def without_rows(self, reply: Message) -> Message:
        """Take off such an answer what the sums have."""
        return reply

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
        if told is None or self.in_clear(kind):
            state.count(kind, policy)
            reply, basis = self.declared(message, context, call_next)
            self.judge(policy, state, kind, basis, reply, crowd=1)
            return reply if told is None else self.without_rows(reply)
        membership = secure_aggregation.membership_of(context, str(told.get(Secure.RUN)))
        if not membership.keys:
            raise refusal("a sum was asked for before its members were named")
        question = flower.question_of(message)
        answer = membership.answer
        if answer is None or answer.question != question:
            state.count(kind, policy)
            reply, basis = self.declared(message, context, call_next)
            self.judge(policy, state, kind, basis, reply, crowd=membership.crowd)
            answer = replace(self.summand(kind, question, reply), guards=basis.guards)
        return _masked(message, membership, answer, str(told.get(Secure.SUM)))


class Hosted(PrivacyMod):
    """The policy over any other app, which knows nothing of Fedstack: its pyproject.toml declares."""

    def __init__(self, app: FlowerApp) -> None:
        self._app = app

    def releases(self, kind: str) -> Releases:
        """Return what the app declares; noise that nobody accounts for is none."""
        if kind in PLATFORM_KINDS:
            return Releases.NOTHING
        declared = self._app.released_by(kind)
        return Releases.PLAIN if declared is Releases.NOISE else declared

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
