"""KMS's asymmetric keys: which key a call means, what IAM is asked of it, and signing as KMS does.

Source: KMS API reference, Sign; Service Authorization Reference, AWS KMS. moto 5.2.5 hashes what already is a
digest (it ignores MessageType), and signs with a key that is to be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from moto.kms.models import Key, kms_backends

from rehearsal.aws.errors import AwsError
from rehearsal.aws.protocol import Call

_HASHES: Final = {
    "ECDSA_SHA_256": hashes.SHA256(),
    "ECDSA_SHA_384": hashes.SHA384(),
    "ECDSA_SHA_512": hashes.SHA512(),
}


def needs(call: Call) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the key that a call is about, and the condition keys of it; `*` where it names none."""
    name = call.parameters.get("KeyId")
    if name is None:
        yield "*", {}
        return
    context = {"kms:CallerAccount": call.principal.account}
    if "alias/" in name:
        context["kms:RequestAlias"] = f"alias/{name.partition('alias/')[2]}"
    if call.operation == "Sign":
        context["kms:SigningAlgorithm"] = call.parameters.get("SigningAlgorithm", "")
        context["kms:MessageType"] = call.parameters.get("MessageType") or "RAW"
    key = _key(call)
    yield key.arn if key else "*", context


def sign(call: Call) -> Mapping[str, Any]:
    """Sign a message, or its digest."""
    key, asked = _key(call), call.parameters
    if key is None:
        raise AwsError("NotFoundException", f"Key '{asked['KeyId']}' does not exist")
    if key.key_state != "Enabled":
        raise AwsError("KMSInvalidStateException", f"{key.arn} is {key.key_state}.")
    algorithm = asked["SigningAlgorithm"]
    if algorithm not in _HASHES or algorithm not in (key.signing_algorithms or []):
        raise AwsError("InvalidKeyUsageException", f"{key.arn} key usage is {key.key_usage}: no {algorithm}.")
    message, how = asked["Message"], _HASHES[algorithm]
    if asked.get("MessageType") == "DIGEST":
        if len(message) != how.digest_size:
            raise AwsError("ValidationException", f"Digest is invalid length for algorithm {algorithm}.")
        scheme = ec.ECDSA(utils.Prehashed(how))
    else:
        scheme = ec.ECDSA(how)
    signature = key.private_key.private_key.sign(message, scheme)  # type: ignore[attr-defined]
    return {"KeyId": key.arn, "Signature": signature, "SigningAlgorithm": algorithm}


def _key(call: Call) -> Key | None:
    """Return the key that a call names by id, ARN or alias; one of another account by its ARN."""
    name, account, region = str(call.parameters["KeyId"]), call.principal.account, call.region
    if name.startswith("arn:"):
        region, account = name.split(":")[3:5]
    backend = kms_backends[account][region]
    if "alias/" in name:
        identity = backend.get_key_id_from_alias(backend.get_alias_name(name))
    else:
        identity = backend.get_key_id(name)
    key: Key | None = backend.keys.get(identity) if identity else None
    return key
