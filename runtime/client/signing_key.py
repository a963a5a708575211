"""The key that vouches for a member: only its own account can sign with it; the others know its public half.

On AWS it is a KMS key, which never leaves KMS and only the job's execution role may use; on one machine a
file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from runtime.contract import ExitCode, FedstackError

_ALGORITHM = ec.ECDSA(Prehashed(hashes.SHA256()))


def sign(uri: str, statement: bytes) -> bytes:
    """Sign a statement with the account's key: ECDSA on P-256 of its SHA-256.

    Parameters
    ----------
    uri
        The ARN of a KMS key, or `file:///absolute/key.pem`.

    Raises
    ------
    FedstackError
        With ExitCode.IDENTITY, when there is no such key or it may not be used.
    """
    digest = hashlib.sha256(statement).digest()
    if uri.startswith("arn:"):
        return _sign_with_kms(uri, digest)
    try:
        key = load_pem_private_key(Path(uri.removeprefix("file://")).read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise _unusable(type(error).__name__) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _unusable("it is no key of an elliptic curve")
    return key.sign(digest, _ALGORITHM)


def is_signed(statement: bytes, signature: bytes, public_key: str) -> bool:
    """Tell whether the holder of a key signed a statement.

    Parameters
    ----------
    public_key
        Base64 of a DER SubjectPublicKeyInfo, as `aws kms get-public-key` prints it.
    """
    try:
        key = load_der_public_key(base64.b64decode(public_key, validate=True))
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            return False
        key.verify(signature, hashlib.sha256(statement).digest(), _ALGORITHM)
    except (binascii.Error, ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def make_file(path: Path) -> str:
    """Make a signing key in a file, for a rehearsal; return its public half as it is exchanged."""
    key = ec.generate_private_key(ec.SECP256R1())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(public).decode()


def _sign_with_kms(arn: str, digest: bytes) -> bytes:
    import boto3  # not needed, nor installed, where keys are files
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    patience = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 4})
    try:
        answer = boto3.client("kms", region_name=arn.split(":")[3], config=patience).sign(
            KeyId=arn, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
        )
    except (BotoCoreError, ClientError) as error:
        raise _unusable(str(error)) from error
    signature: bytes = answer["Signature"]
    return signature


def _unusable(why: str) -> FedstackError:
    return FedstackError(
        ExitCode.IDENTITY,
        f"This account's signing key cannot be used: {why}.",
        "Let the job's execution role sign with it, and its network reach KMS; its own stack does both.",
        public="This account's signing key cannot be used.",
    )
