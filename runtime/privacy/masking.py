"""Masks that cancel in a sum: pairs of members agree on them, and a stranger cannot tell them from noise.

Bell, Bonawitz, Gascon, Lepoint and Raykova, "Secure single-server aggregation with (poly)logarithmic
overhead", CCS 2020: in a large sum a member masks with some neighbours instead of with everybody.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from runtime.privacy import fixed_point
from runtime.privacy.fixed_point import BLOCK, Words

KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SECURITY_BITS: Final = 40
"""A member is alone among colluders, who are a third of all, with a probability below 2^-40."""


def agree(own: X25519PrivateKey, peer: bytes, purpose: bytes) -> bytes:
    """Return the 32 bytes that two members, and nobody else, have in common for one purpose.

    Raises
    ------
    ValueError
        When the peer's public key is none.
    """
    shared = own.exchange(X25519PublicKey.from_public_bytes(peer))
    return HKDF(algorithm=hashes.SHA256(), length=SEED_BYTES, salt=None, info=purpose).derive(shared)


def degree(members: int) -> int:
    """Return with how many others each member masks: all of a small sum, logarithmically many of a large one.

    With 2 h neighbours on a ring, h to each side, a set of members is cut off only by 2 h colluders in the
    right places; for colluders at random places, a third of all, that has probability 3^-2h for each place.
    """
    sides = math.ceil((SECURITY_BITS + math.log2(members)) / (2 * math.log2(3)))
    return min(members - 1, 2 * sides)


def neighbours(own: str, keys: Mapping[str, bytes], salt: bytes) -> list[str]:
    """Return the members that one masks with: the nearest to both sides of a ring.

    The places on the ring follow from all members' keys, so that nobody, the server least of all, can choose
    who stands beside whom.
    """
    joint = hashlib.sha256(salt)
    for name in sorted(keys):
        joint.update(keys[name])
    ring = sorted(keys, key=lambda name: hmac.digest(joint.digest(), name.encode(), "sha256"))
    count, place = degree(len(ring)), ring.index(own)
    if count == len(ring) - 1:
        return [name for name in ring if name != own]
    return [
        ring[(place + step) % len(ring)]
        for side in (1, -1)
        for step in range(side, side * (count // 2 + 1), side)
    ]


def commitment(seed: bytes) -> bytes:
    """Return what shows later that a seed is the one meant, and tells nothing of it before."""
    return hashlib.sha256(b"fedstack/seed/" + seed).digest()


def expand(seed: bytes, words: int, size: int) -> Words:
    """Return the mask that a seed stands for, AES-256 in counter mode: a seed is used for one mask only."""
    cipher = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor()
    mask, zeros = np.empty(words * size, dtype="<u8"), bytes(8 * min(BLOCK, words * size))
    for at in range(0, words * size, BLOCK):
        part = mask[at : at + BLOCK]
        part[:] = np.frombuffer(cipher.update(zeros[: 8 * len(part)]), dtype="<u8")
    return mask.astype(np.uint64, copy=False).reshape(words, size)


def pair_masks(own: str, secrets: Mapping[str, bytes], purpose: bytes, shape: Sequence[int]) -> Words:
    """Return the sum of a member's pairwise masks for one purpose; over all members these cancel."""
    words, size = shape
    total = np.zeros((words, size), dtype=np.uint64)
    for peer, secret in secrets.items():
        mask = expand(hmac.digest(secret, purpose, "sha256"), words, size)
        fixed_point.add_to(total, mask if own < peer else fixed_point.negative(mask))
    return total
