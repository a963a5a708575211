"""The client's part in secure aggregation: what it sends is masked, and only sums can be unmasked.

Once in a run: `secure_keys` (a fresh public key and how few members its owner allows, signed by the
account's own signing key) and `secure_members` (everybody's; a member that this account's stack does not
name, or whose account did not sign, is refused). For each sum: the answer itself, masked with all members'
pairwise masks and one of its own, and `secure_unmask` (the seed of the own mask, once). Masks depend on the
question, so answers to different questions do not add up; without every member's answer and seed nothing can
be unmasked, so a sum that lost a member is asked for again, among those who are left, if their owners let it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flwr.app import ConfigRecord, Context, Message

from runtime.client.disclosure import Guard
from runtime.client.privacy_policy import PrivacyPolicy, refusal
from runtime.client.signing_key import is_signed, sign
from runtime.contract import ExitCode, FedstackError
from runtime.messages import SECURE, MessageType, Secure
from runtime.privacy import fixed_point, masking
from runtime.privacy.fixed_point import Vector, Words


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer before it was masked, kept in case that its sum loses a member: the next sum has the same.

    Parameters
    ----------
    metrics
        What it says in the clear.
    layout
        What the vector's numbers are, where the server does not know it (runtime/privacy/averaged_reply.py).
    guards
        What must be true of all members' rows together for the sum to be readable.
    """

    question: bytes
    vector: Vector
    metrics: dict[str, Any]
    layout: str | None = None
    guards: tuple[Guard, ...] = ()


@dataclass(eq=False)
class Membership:
    """What one client keeps of all sums of a run.

    Parameters
    ----------
    keys
        The members of a sum, and their public keys; empty until they were told.
    crowd
        Members that are always in a sum together: what a server could tell apart by leaving some out of one
        sum is at least all of theirs. 1 where this account lets sums go on without some of its members.
    """

    name: str
    run_id: str
    policy: PrivacyPolicy
    key: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    keys: dict[str, bytes] = field(default_factory=dict)
    crowd: int = 1
    group: bytes | None = None
    """What all members have in common and the server does not; needed for guards only."""
    answer: Answer | None = None
    _secrets: dict[str, bytes] = field(default_factory=dict)
    _open: tuple[str, bytes, bytes] | None = None
    _sums: set[str] = field(default_factory=set)
    _unmasked: dict[bytes, int] = field(default_factory=dict)

    def announce(self) -> ConfigRecord:
        """Return the public key, signed by the account."""
        if not self.policy.signing_key:
            raise refusal("sums need a signing key of this account, and its stack names none")
        public = self.key.public_key().public_bytes_raw()
        least, whole = self.policy.least_members, self.policy.whole_cohort
        signature = sign(self.policy.signing_key, statement(self.run_id, self.name, public, least, whole))
        return ConfigRecord(
            {Secure.KEY: public, Secure.LEAST: least, Secure.WHOLE: whole, Secure.SIGNATURE: signature}
        )

    def admit(self, told: ConfigRecord) -> None:
        """Take the members of the run's sums; from then on there can only be fewer."""
        names, keys, leasts, wholes, signatures = (_list(told, key) for key in _OF_MEMBERS)
        if len({len(names), len(keys), len(leasts), len(wholes), len(signatures)}) > 1:
            raise refusal("the lists of members differ in length")
        members = dict(zip(names, keys, strict=True))
        if len(members) != len(names) or len(set(members.values())) != len(names):
            raise refusal("a member or a key is named twice")
        if members.get(self.name) != self.key.public_key().public_bytes_raw():
            raise refusal("this client's own key is not among the members'")
        for name, key, least, whole, signature in zip(names, keys, leasts, wholes, signatures, strict=True):
            if name != self.name:
                self._know(name, signature, statement(self.run_id, name, key, int(least), bool(whole)))
        if len(members) < self.policy.least_members:
            raise refusal(f"a sum of {len(members)} members, {self.policy.least_members} are needed")
        if self.keys and not members.items() < self.keys.items():
            raise refusal("the members of a run's sums may only become fewer")
        self.keys, self.crowd = members, sum(map(bool, wholes)) if self.policy.whole_cohort else 1
        near = masking.neighbours(self.name, members, self.run_id.encode())
        self._secrets = {name: masking.agree(self.key, members[name], self.run_id.encode()) for name in near}
        self._open, self.group = None, None

    def share_group(self) -> list[bytes]:
        """Make what the members have in common; return it for each by name, readable to that one only."""
        self.group = secrets.token_bytes(masking.SEED_BYTES)
        return [self._seal(name, self.group) for name in sorted(self.keys)]

    def join_group(self, sealed: list[Any]) -> None:
        """Take what the first member made for all."""
        names = sorted(self.keys)
        if len(sealed) != len(names):
            raise refusal("not every member is given a part of the group's key")
        if self.name != names[0]:
            self.group = self._unseal(names[0], bytes(sealed[names.index(self.name)]))

    def _seal(self, name: str, secret: bytes) -> bytes:
        nonce = secrets.token_bytes(12)
        return nonce + self._cipher(name).encrypt(nonce, secret, self.run_id.encode())

    def _unseal(self, name: str, sealed: bytes) -> bytes:
        try:
            return self._cipher(name).decrypt(sealed[:12], sealed[12:], self.run_id.encode())
        except (InvalidTag, ValueError):
            raise refusal(f"the group's key is not one that {name!r} made for this client") from None

    def _cipher(self, name: str) -> AESGCM:
        return AESGCM(masking.agree(self.key, self.keys[name], b"group " + self.run_id.encode()))

    def mask(self, sum_id: str, answer: Answer, words: int) -> tuple[Words, bytes]:
        """Return an answer masked for one sum, and the commitment to the seed of the own mask."""
        if sum_id in self._sums or len(self.keys) >= self._unmasked.get(answer.question, len(self.keys) + 1):
            raise refusal("a sum, or what was asked for in one, was asked for twice")
        try:
            encoded = fixed_point.encode(answer.vector, words, len(self.keys))
        except fixed_point.RangeError as error:
            raise FedstackError(
                ExitCode.SECURE_AGGREGATION,
                f"Number {error.args[0]} of the answer is not finite or too large to be summed.",
                "Check the data for extreme values.",
            ) from None
        self._sums.add(sum_id)
        seed = secrets.token_bytes(masking.SEED_BYTES)
        self._open, self.answer = (sum_id, answer.question, seed), answer
        purpose = self._purpose(sum_id, answer.question)
        masks = masking.pair_masks(self.name, self._secrets, purpose, encoded.shape)
        own = masking.expand(seed, *encoded.shape)
        encoded = fixed_point.add(encoded, self._guarded(answer.guards, purpose, encoded.shape))
        return fixed_point.add(fixed_point.add(encoded, masks), own), masking.commitment(seed)

    def unmask(self, sum_id: str) -> bytes:
        """Return the seed of the own mask: for the last sum only, and for each question and members once."""
        if self._open is None or self._open[0] != sum_id:
            raise refusal("a sum is to be unmasked that is not open")
        _, question, seed = self._open
        self._open = None
        self._unmasked[question] = len(self.keys)
        return seed

    def _guarded(self, guards: Sequence[Guard], purpose: bytes, shape: tuple[int, ...]) -> Words:
        """Return this member's part of what adds up to zero only if every guard holds.

        All members multiply the same secret numbers by what they have, and the first takes off the same
        times what is claimed: the sum is off by secret times difference, so unless that is nil it tells
        nothing (conditional disclosure of secrets: Gertner, Ishai, Kushilevitz and Malkin, STOC 1998).
        """
        total = np.zeros(shape, dtype=np.uint64)
        if not guards:
            return total
        if self.group is None:
            raise refusal("a guarded sum was asked for before its members had a key in common")
        for number, guard in enumerate(guards):
            seed = hmac.digest(self.group, purpose + bytes([number]), "sha256")
            factors = masking.expand(seed, *shape)
            total = fixed_point.add(total, fixed_point.multiply(factors, guard.own))
            if self.name == min(self.keys):
                off = fixed_point.multiply(factors, guard.claimed)
                total = fixed_point.add(total, fixed_point.negative(off))
        return total

    def _know(self, name: str, signature: bytes, signed: bytes) -> None:
        if name not in self.policy.cohort:
            named = ", ".join(sorted(self.policy.cohort)) or "nobody"
            raise refusal(f"{name!r} is not among those whom this client's own stack names ({named})")
        if not is_signed(signed, signature, self.policy.cohort[name]):
            raise refusal(f"the key of {name!r} is not signed by the account that this client's stack names")

    def _purpose(self, sum_id: str, question: bytes) -> bytes:
        """Name what a mask is for: this sum of these members and this question."""
        members = hashlib.sha256(b"".join(self.keys[name] for name in sorted(self.keys)))
        return hashlib.sha256(members.digest() + question + sum_id.encode()).digest()


_OF_MEMBERS: Final = (Secure.NAMES, Secure.KEYS, Secure.LEASTS, Secure.WHOLES, Secure.SIGNATURES)
"""What is told of each member, in lists of one order."""

_memberships: dict[int, tuple[Context, Membership]] = {}
"""By node: its context, and what it keeps. Keys live in the process only, never in a context's state."""


def step(message: Message, context: Context) -> ConfigRecord:
    """Take one of secure aggregation's own steps."""
    told, kind = message.content.config_records[SECURE], message.metadata.message_type
    run_id, policy = str(told.get(Secure.RUN, "")), PrivacyPolicy.of(context)
    if kind == MessageType.SECURE_KEYS:
        own = str(context.node_config.get("run-id", run_id))
        if run_id != own or _known(context) is not None:
            raise refusal("keys are asked for twice, or for another run")
        membership = Membership(str(context.node_config.get("name")), run_id, policy)
        answer = membership.announce()
        _memberships[context.node_id] = context, membership
        return answer
    membership = membership_of(context, run_id)
    if kind == MessageType.SECURE_MEMBERS:
        membership.admit(told)
        return ConfigRecord()
    if kind == MessageType.SECURE_GROUP:
        if (sealed := told.get(Secure.GROUP)) is None:
            return ConfigRecord({Secure.GROUP: membership.share_group()})
        membership.join_group(_list(told, Secure.GROUP) if sealed else [])
        return ConfigRecord()
    return ConfigRecord({Secure.SEED: membership.unmask(str(told.get(Secure.SUM)))})


def membership_of(context: Context, run_id: str) -> Membership:
    """Return what a node keeps of a run's sums."""
    membership = _known(context)
    if membership is None or membership.run_id != run_id:
        raise FedstackError(
            ExitCode.SECURE_AGGREGATION,
            "This client has no keys for the run's sums.",
            "It was started again since, which ends its part in them; run again.",
        )
    return membership


def crowd_of(message: Message, context: Context) -> int:
    """Return how many members an answer is told of at least: 1 where it is not summed."""
    told = message.content.config_records.get(SECURE)
    return 1 if told is None else membership_of(context, str(told.get(Secure.RUN))).crowd


def _known(context: Context) -> Membership | None:
    owner, membership = _memberships.get(context.node_id, (None, None))
    return membership if owner is context else None


def statement(run_id: str, name: str, key: bytes, least: int, whole: bool) -> bytes:
    """Return what an account signs: its member's key in this run, and how few members it is summed with."""
    lines = (
        "fedstack secure aggregation",
        f"run {run_id}",
        f"member {name}",
        f"key {key.hex()}",
        f"min-cohort {least}",
        f"whole-cohort {whole}",
    )
    return "\n".join((*lines, "")).encode()


def _list(told: ConfigRecord, name: str) -> list[Any]:
    value = told.get(name)
    if not isinstance(value, list):
        raise refusal(f"{name} is no list")
    return value
