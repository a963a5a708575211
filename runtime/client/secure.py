"""The client's part in secure aggregation: what it sends is masked, and only sums can be unmasked.

Five steps, each a message of the server's: `advertise` (two fresh public keys), `share` (the seed of the own
mask and the mask key, split among all by Shamir and encrypted for each), the update itself (masked),
`confirm` (who is in the sum, told to the other clients) and `unmask` (for each client one share: of the seed
if it sent its update, of the mask key if it dropped out; never both). The keys are made anew for every sum
and are forgotten with it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography.fernet import InvalidToken
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from runtime.contract import ExitCode, FedstackError
from runtime.privacy import fixed_point, masking
from runtime.privacy.fixed_point import Vector


@dataclass(eq=False)
class Session:
    """What one client keeps for one sum."""

    id: str
    own: int
    cohort: int
    cipher_key: masking.PrivateKey = field(default_factory=masking.new_key)
    mask_key: masking.PrivateKey = field(default_factory=masking.new_key)
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(masking.SEED_BYTES))
    peers: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    shares: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    masked: bool = False
    survivors: frozenset[int] = frozenset()

    def advertise(self) -> ConfigRecord:
        """Return the public keys."""
        keys = {"cipher-key": self.cipher_key, "mask-key": self.mask_key}
        return ConfigRecord({name: masking.public_bytes(key) for name, key in keys.items()})

    def share(self, told: ConfigRecord) -> ConfigRecord:
        """Split the two secrets among all that advertised, a part encrypted for each."""
        nodes, keys = _list(told, "nodes"), (_list(told, "cipher-keys"), _list(told, "mask-keys"))
        mine = (masking.public_bytes(self.cipher_key), masking.public_bytes(self.mask_key))
        peers = dict(zip(nodes, zip(*keys, strict=True), strict=True))
        if self.peers or peers.get(self.own) != mine:
            raise _refusal("its own keys are not among those that it was told, or it was told twice")
        if len(peers) != len(nodes) or len({key for pair in peers.values() for key in pair}) != 2 * len(
            nodes
        ):
            raise _refusal("a client or a key is named twice")
        self._enough(len(peers), 2, "advertised keys")
        self.peers = dict(sorted(peers.items()))
        parts = [
            masking.create_shares(secret, masking.threshold(len(peers)), len(peers))
            for secret in (self.seed, masking.secret_bytes(self.mask_key))
        ]
        sealed = []
        for node, seed_part, key_part in zip(self.peers, *parts, strict=True):
            if node == self.own:
                self.shares[node] = (seed_part, key_part)
                sealed.append(b"")
            else:
                plain = masking.share_keys_plaintext_concat(self.own, node, seed_part, key_part)
                sealed.append(masking.encrypt(self._cipher(node), plain))
        commitment = masking.commitment(self.seed)
        return ConfigRecord({"nodes": list(self.peers), "shares": sealed, "commitment": commitment})

    def mask(self, told: ConfigRecord, values: Vector) -> fixed_point.Words:
        """Take the others' shares and mask the numbers with all who sent some."""
        if self.masked or not self.peers:
            raise _refusal("its update was asked for twice, or before the keys")
        self.masked = True
        for node, sealed in zip(_list(told, "nodes"), _list(told, "shares"), strict=True):
            self.shares[node] = self._open(node, sealed)
        self._enough(len(self.shares), masking.threshold(len(self.peers)), "shared their secrets")
        pairs = {
            node: masking.agree(
                self.mask_key, self.peers[node][1], masking.pair_purpose(self.id, "mask", self.own, node)
            )
            for node in self.shares
            if node != self.own
        }
        masks = masking.expand(self.seed, values.size) + masking.pair_masks(self.own, pairs, values.size)
        return fixed_point.encode(values, len(self.peers)) + masks

    def confirm(self, told: ConfigRecord) -> ConfigRecord:
        """Tell every survivor, by a tag that the server cannot make, whose updates are to be in the sum."""
        survivors = frozenset(_list(told, "survivors"))
        if not self.masked or self.survivors or not {self.own} <= survivors <= self.shares.keys():
            raise _refusal("the survivors are not of those that it masked with, or it was told twice")
        self._enough(len(survivors), masking.threshold(len(self.peers)), "sent an update")
        self.survivors = survivors
        others = sorted(survivors - {self.own})
        tags: list[Any] = [self._tag(self.own, node) for node in others]
        return ConfigRecord({"nodes": others, "tags": tags})

    def unmask(self, told: ConfigRecord) -> ConfigRecord:
        """Give one share for each client that this one masked with, once a majority saw the same sum."""
        tags = dict(zip(_list(told, "nodes"), _list(told, "tags"), strict=True))
        if not tags.keys() <= self.survivors - {self.own}:
            raise _refusal("somebody confirms who is not in the sum")
        right = [node for node, tag in tags.items() if masking.same(self._tag(node, node), tag)]
        self._enough(1 + len(right), masking.threshold(len(self.peers)), "confirmed the same sum")
        dropped = sorted(self.shares.keys() - self.survivors)
        lists: dict[str, Any] = {
            "survivors": sorted(self.survivors),
            "seed-shares": [self.shares[node][0] for node in sorted(self.survivors)],
            "dropped": dropped,
            "key-shares": [self.shares[node][1] for node in dropped],
        }
        return ConfigRecord(lists)

    def _tag(self, source: int, peer: int) -> bytes:
        """Return the tag with which a client vouches, to another, for what it masked with and survived."""
        purpose = masking.pair_purpose(self.id, "confirm", self.own, peer)
        key = masking.agree(self.cipher_key, self.peers[peer][0], purpose)
        return masking.tag(key, repr((source, sorted(self.shares), sorted(self.survivors))))

    def _open(self, node: int, sealed: bytes) -> tuple[bytes, bytes]:
        """Decrypt the share that another client made for this one."""
        if node not in self.peers or node == self.own or node in self.shares:
            raise _refusal(f"node {node} is no peer, or sends a second share")
        try:
            source, target, *parts = masking.share_keys_plaintext_separate(
                masking.decrypt(self._cipher(node), sealed)
            )
        except InvalidToken:
            raise _refusal(f"the share of node {node} is forged, or of another sum") from None
        if (source, target) != (node, self.own):
            raise _refusal(f"the share of node {node} is node {source}'s for node {target}")
        return parts[0], parts[1]

    def _cipher(self, node: int) -> bytes:
        purpose = masking.pair_purpose(self.id, "share", self.own, node)
        return masking.fernet_key(masking.agree(self.cipher_key, self.peers[node][0], purpose))

    def _enough(self, there: int, needed: int, what: str) -> None:
        if there < max(needed, self.cohort):
            raise _refusal(f"{there} clients {what}, {max(needed, self.cohort)} are needed")


def hidden(reply: Message, message: Message, session: Session) -> Message:
    """Return a reply with its numbers masked; row counts and losses go into the sum as well."""
    content, kind = reply.content, message.metadata.message_type
    metrics = dict(content.metric_records["metrics"])
    rows, loss = metrics.pop("num-examples"), metrics.pop("train-loss", 0.0)
    assert isinstance(rows, (int, float)) and isinstance(loss, (int, float))  # noqa: S101, PT018 - ours
    if kind == "query.prepare":
        mean, m2 = (content.array_records["moments"][name].numpy() for name in ("mean", "m2"))
        values = np.concatenate([rows * mean, m2 + rows * mean**2])
    else:
        weight = 1 if kind.endswith("curvature") else rows  # a curvature is a sum over the rows already
        arrays = content.array_records["arrays"].values()
        values = weight * np.concatenate([array.numpy().ravel() for array in arrays])
    told = message.content.config_records["secure"]
    masked = session.mask(told, np.concatenate([[rows, rows * loss], values]))
    records = RecordDict({"arrays": ArrayRecord({"masked": Array(masked)}), "metrics": MetricRecord(metrics)})
    for name, record in content.config_records.items():
        records[name] = record
    return Message(records, reply_to=message)


def _list(told: ConfigRecord, name: str) -> list[Any]:
    value = told.get(name, [])
    if not isinstance(value, list):
        raise _refusal(f"{name} is no list")
    return value


def _refusal(what: str) -> FedstackError:
    return FedstackError(
        ExitCode.SECURE_AGGREGATION,
        f"Secure aggregation is refused: {what}.",
        "If nobody tampers with the messages, run the round again.",
    )
