"""The server's part in secure aggregation: it carries keys and shares, and unmasks one sum.

Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning", CCS 2017, figure 4
with its consistency check, by tags between pairs of clients where the paper has signatures. See
docs/privacy.md for what a server that deviates could do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from runtime.contract import ExitCode, FedstackError
from runtime.privacy import fixed_point, masking
from runtime.privacy.fixed_point import Vector, Words
from runtime.server import secure_answers as answers
from runtime.server.guard import Expected, sort_replies


@dataclass(frozen=True, eq=False)
class Summed:
    """A sum, whose updates are in it, and why the others' are not."""

    total: Vector
    replies: list[Message]
    lost: Mapping[int, str]


@dataclass(eq=False)
class SecureSum:
    """One sum over the clients that some messages are addressed to.

    Parameters
    ----------
    session
        Names the sum; no other may have the same name.
    names
        The client's name for each of Flower's node ids.
    """

    grid: Grid
    session: str
    timeout: float
    names: Callable[[int], str]
    lost: dict[int, str] = field(default_factory=dict)
    keys: dict[int, ConfigRecord] = field(default_factory=dict)
    shared: dict[int, ConfigRecord] = field(default_factory=dict)

    def of(self, asked: list[Message], size: int, metrics: frozenset[str]) -> Summed:
        """Ask for the updates and return their sum.

        Parameters
        ----------
        asked
            What each client is to answer, as it would be sent without secure aggregation.
        size
            How many numbers the answer has.
        metrics
            What it may say in the clear.

        Raises
        ------
        FedstackError
            With ExitCode.QUORUM when too few are left to unmask, naming who was lost and why; with
            ExitCode.SECURE_AGGREGATION when the shares give a wrong secret.
        """
        nodes = [message.metadata.dst_node_id for message in asked]
        self.keys = self._step("advertise", {node: {} for node in nodes})
        needed = self._enough(self.keys, masking.threshold(len(self.keys)), "advertised keys")
        self.shared = self._step("share", {node: self._all_keys() for node in self.keys})
        self._enough(self.shared, needed, "shared their secrets")
        replies = self._masked([m for m in asked if m.metadata.dst_node_id in self.shared], size, metrics)
        survivors = {reply.metadata.src_node_id: reply for reply in replies}
        self._enough(survivors, needed, "sent an update")
        confirmed = self._step("confirm", {node: {"survivors": sorted(survivors)} for node in survivors})
        self._enough(confirmed, needed, "confirmed the sum")
        told = self._step("unmask", {node: answers.for_one(node, confirmed, "tags") for node in confirmed})
        self._enough(told, needed, "helped to unmask")
        masked = [reply.content.array_records["arrays"]["masked"].numpy() for reply in replies]
        total = np.sum(masked, axis=0, dtype=np.uint64) - self._masks(set(survivors), told, needed, size)
        return Summed(fixed_point.decode(total), replies, self.lost)

    def _step(self, name: str, told: Mapping[int, dict[str, Any]]) -> dict[int, ConfigRecord]:
        """Take one of the protocol's own steps with some clients; return who answered what."""
        messages = [
            Message(
                RecordDict({"secure": ConfigRecord({"session": self.session, **what})}),
                node,
                f"query.secure_{name}",
            )
            for node, what in told.items()
        ]
        found: dict[int, ConfigRecord] = {}
        for reply in self.grid.send_and_receive(messages, timeout=self.timeout):
            node = reply.metadata.src_node_id
            if reply.has_error():
                self.lost[node] = str(reply.error.reason)
            elif (said := reply.content.config_records.get("secure")) is None or not answers.sound(
                name, said
            ):
                self.lost[node] = f"its answer to {name} is not what it should be"
            else:
                found[node] = said
        self._gone(told, found)
        return dict(sorted(found.items()))

    def _all_keys(self) -> dict[str, Any]:
        told = self.keys.values()
        return {
            "nodes": list(self.keys),
            "cipher-keys": [keys["cipher-key"] for keys in told],
            "mask-keys": [keys["mask-key"] for keys in told],
        }

    def _masked(self, asked: list[Message], size: int, metrics: frozenset[str]) -> list[Message]:
        """Hand every client the shares made for it, and collect the masked updates."""
        messages = [self._with_shares(message) for message in asked]
        like = ArrayRecord({"masked": Array(np.zeros(size, dtype=np.uint64))})
        sorted_replies = sort_replies(
            self.grid.send_and_receive(messages, timeout=self.timeout), metrics, Expected(like)
        )
        self.lost.update(sorted_replies.refused)
        self._gone(
            (message.metadata.dst_node_id for message in asked),
            {reply.metadata.src_node_id for reply in sorted_replies.accepted},
        )
        return sorted_replies.accepted

    def _with_shares(self, message: Message) -> Message:
        """Add the shares that the others made for the client that a message is for."""
        node = message.metadata.dst_node_id
        told = ConfigRecord({"session": self.session, **answers.for_one(node, self.shared, "shares")})
        content = RecordDict({**message.content, "secure": told})  # a round's messages share one content
        return Message(content, node, message.metadata.message_type)

    def _masks(self, survivors: set[int], told: Mapping[int, ConfigRecord], needed: int, size: int) -> Words:
        """Return what masks are left in the survivors' sum: their own, and those shared with the dropped."""
        left = np.zeros(size, dtype=np.uint64)
        for node in sorted(survivors):
            seed = self._secret(node, told, needed, "survivors", "seed-shares")
            commitment = self.shared[node]["commitment"]
            if (
                not isinstance(commitment, bytes)
                or len(seed) != masking.SEED_BYTES
                or not masking.same(masking.commitment(seed), commitment)
            ):
                raise self._wrong(node)
            left = left + masking.expand(seed, size)
        for node in sorted(self.shared.keys() - survivors):
            key = masking.key_of(self._secret(node, told, needed, "dropped", "key-shares"))
            if key is None or masking.public_bytes(key) != self.keys[node]["mask-key"]:
                raise self._wrong(node)
            for peer in survivors:
                purpose = masking.pair_purpose(self.session, "mask", node, peer)
                secret = masking.agree(key, bytes(self.keys[peer]["mask-key"]), purpose)  # type: ignore[arg-type]
                left = left + masking.pair_masks(peer, {node: secret}, size)
        return left

    def _secret(self, node: int, told: Mapping[int, ConfigRecord], needed: int, who: str, what: str) -> bytes:
        shares = [
            dict(zip(answers.ids(one[who]), answers.items(one[what]), strict=True)).get(node, b"")
            for one in told.values()
        ]
        try:
            return masking.combine_shares([share for share in shares if share][:needed])
        except Exception as error:  # what pycryptodome raises for shares of any odd form
            raise self._wrong(node) from error

    def _gone(self, asked: Iterable[int], answered: Iterable[int]) -> None:
        there = set(answered)
        for node in asked:
            if node not in there:
                self.lost.setdefault(node, "no reply in time")

    def _enough(self, there: Mapping[int, Any], needed: int, what: str) -> int:
        if len(there) < needed:
            why = "; ".join(f"{self.names(node)}: {reason}" for node, reason in self.lost.items())
            raise FedstackError(
                ExitCode.QUORUM,
                f"Secure aggregation {self.session} ended: {len(there)} clients {what}, {needed} are needed "
                f"({why}).",
                "Mend the clients named, then run again with --resume.",
            )
        return needed

    def _wrong(self, node: int) -> FedstackError:
        return FedstackError(
            ExitCode.SECURE_AGGREGATION,
            f"The shares of {self.names(node)}'s secret do not fit what it announced: a client sent a forged "
            "one.",
            "Nothing of this sum was used. Find out who did, then go on with --resume.",
        )
