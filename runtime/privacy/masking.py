"""Pairwise masks that cancel in a sum (Bonawitz et al., "Practical secure aggregation", CCS 2017).

Keys, secret sharing and encryption are Flower's (flwr.common.secure_aggregation, which is taken from here
only) and cryptography's. Flower's generator of masks is not used: it folds its 32-byte seed into 32 bits for
a Mersenne Twister, and whoever tries all of them has the mask. The masks here are AES-256 in counter mode.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.common.secure_aggregation.crypto.shamir import combine_shares as combine_shares
from flwr.common.secure_aggregation.crypto.shamir import create_shares as create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt as decrypt
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt as encrypt
from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
from flwr.common.secure_aggregation.secaggplus_utils import (
    share_keys_plaintext_concat as share_keys_plaintext_concat,
)
from flwr.common.secure_aggregation.secaggplus_utils import (
    share_keys_plaintext_separate as share_keys_plaintext_separate,
)

from runtime.privacy.fixed_point import Words

SEED_BYTES: Final = 32
CURVE: Final = ec.SECP256R1()
PrivateKey = ec.EllipticCurvePrivateKey


def threshold(members: int) -> int:
    """Return how many clients must help to unmask: a majority.

    No two groups of that size are apart, and a client confirms one sum only: so all who unmask have confirmed
    the same one, unless clients help the server.
    """
    return members // 2 + 1


def new_key() -> PrivateKey:
    """Make a key of the operating system's randomness."""
    return ec.generate_private_key(CURVE)


def public_bytes(key: PrivateKey) -> bytes:
    """Return the public half as it travels."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def secret_bytes(key: PrivateKey) -> bytes:
    """Return the private half, to be shared out in parts."""
    return key.private_numbers().private_value.to_bytes(SEED_BYTES, "big")


def key_of(secret: bytes) -> PrivateKey | None:
    """Return the key of a private half that was put together again; None if it is none."""
    try:
        return ec.derive_private_key(int.from_bytes(secret, "big"), CURVE)
    except ValueError:
        return None


def is_public(key: bytes) -> bool:
    """Tell whether a public half is a point of the curve."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(CURVE, key)
    except ValueError:
        return False
    return True


def agree(own: PrivateKey, peer: bytes, purpose: str) -> bytes:
    """Return the 32 bytes that two parties, and nobody else, have in common for one purpose.

    Raises
    ------
    ValueError
        When the peer's public half is no point of the curve.
    """
    shared = generate_shared_key(own, ec.EllipticCurvePublicKey.from_encoded_point(CURVE, peer))
    derived = HKDF(algorithm=hashes.SHA256(), length=SEED_BYTES, salt=None, info=purpose.encode())
    return derived.derive(base64.urlsafe_b64decode(shared))


def pair_purpose(session: str, use: str, one: int, other: int) -> str:
    """Name what a pair's secret is for: one session, one use, this pair."""
    return f"fedstack/{use}/{session}/{min(one, other)}/{max(one, other)}"


def fernet_key(secret: bytes) -> bytes:
    """Return a pair's secret as Flower's `encrypt` and `decrypt` take it."""
    return base64.urlsafe_b64encode(secret)


def commitment(seed: bytes) -> bytes:
    """Return what shows later that a seed was put together rightly, and tells nothing of it before."""
    return hashlib.sha256(b"fedstack/seed/" + seed).digest()


def same(one: bytes, other: bytes) -> bool:
    """Compare without telling by the time where they differ."""
    return hmac.compare_digest(one, other)


def tag(key: bytes, what: str) -> bytes:
    """Return what only the holders of a key can say of something."""
    return hmac.digest(key, what.encode(), "sha256")


def expand(seed: bytes, size: int) -> Words:
    """Return the mask that a seed stands for: a seed is used for one mask only."""
    cipher = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor()
    return np.frombuffer(cipher.update(bytes(8 * size)), dtype="<u8").astype(np.uint64)


def pair_masks(own: int, secrets: Mapping[int, bytes], size: int) -> Words:
    """Return the sum of a client's pairwise masks; over all clients these cancel."""
    total = np.zeros(size, dtype=np.uint64)
    for peer, secret in secrets.items():
        mask = expand(secret, size)
        total = total + mask if own < peer else total - mask
    return total
