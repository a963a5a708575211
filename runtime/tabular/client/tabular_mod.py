"""The account's policy over the built-in app: its handlers declare what each answer is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Context, Message, MetricRecord
from flwr.clientapp.typing import ClientAppCallable

from runtime.client import disclosure
from runtime.client.disclosure import Basis
from runtime.client.privacy_mod import PrivacyMod
from runtime.client.privacy_policy import PrivacyPolicy, refusal
from runtime.client.run_state import RunState
from runtime.client.secure_aggregation import Answer
from runtime.flower_app import BUILT_IN_APP, FlowerApp
from runtime.messages import ARRAYS, CONFIG, METRICS, PLATFORM_KINDS, MessageType, Releases
from runtime.privacy import summed_vector
from runtime.tabular.client import client_gain
from runtime.tabular.client.request import terms_of

NOISE_METRICS = frozenset({"num-examples", "train-seconds", "epsilon", "epsilon-spent", "delta"})
"""All that a noisy answer may say beside its noisy arrays; none of it depends on what the rows hold."""

MASKED_METRICS = NOISE_METRICS - {"num-examples"}
"""All that a masked answer may say beside its masked array."""


class TabularMod(PrivacyMod):
    """Let messages in and answers out for the built-in app."""

    def __init__(self) -> None:
        self._messages = FlowerApp.read(BUILT_IN_APP).releases

    def releases(self, kind: str) -> Releases:
        """Return what the answer to a kind of message releases."""
        if kind in PLATFORM_KINDS:
            return Releases.NOTHING
        return self._messages.get(kind, Releases.PLAIN)  # by its exact name: each is counted under one

    def fix(self, message: Message, state: RunState) -> None:
        """Hold the server to the settings that a run may not change."""
        if CONFIG in message.content.config_records:
            state.fix(message.content.config_records[CONFIG])

    def noise_multiplier(self, message: Message) -> float | None:
        """Return the noise that the answer will have."""
        noisy = self.releases(message.metadata.message_type) is Releases.NOISE
        return terms_of(message).noise_multiplier if noisy else None

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
        before = None if basis.weights is None else state.told_before(basis.weights.shape[-1])
        disclosure.check(policy, kind, basis, crowd, before)
        if basis.weights is not None:
            for weights in np.atleast_2d(basis.weights):
                state.remember(weights)
        if self.releases(kind) is Releases.NOISE:
            if told := reply.content.metric_records[METRICS].keys() - NOISE_METRICS:
                raise refusal(f"the answer to {kind!r} would tell {sorted(told)} without noise")
            return
        if basis.cells is not None:
            arrays = {name: array.numpy() for name, array in reply.content.array_records[ARRAYS].items()}
            cells = basis.cells * crowd if basis.groups is None or crowd == 1 else basis.groups.cells
            state.spend(kind, summed_vector.size(arrays) - 1, cells, policy)

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

    def in_clear(self, kind: str) -> bool:
        """Agree to a noisy run in the clear."""
        return kind == MessageType.PREPARE_PRIVATE

    def without_rows(self, reply: Message) -> Message:
        """Take the row count off the agreement to a noisy run whose sums have it."""
        metrics = reply.content.metric_records[METRICS]
        reply.content[METRICS] = MetricRecord({k: v for k, v in metrics.items() if k in MASKED_METRICS})
        return reply
