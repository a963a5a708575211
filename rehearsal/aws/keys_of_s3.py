"""S3's actions, and what S3 asks of KMS in its caller's name for a bucket encrypted with a key.

Source: Service Authorization Reference, Amazon S3; S3 User Guide, "Using server-side encryption with AWS
KMS keys": reading needs kms:Decrypt, writing kms:GenerateDataKey, with the condition keys kms:ViaService
and, under a bucket key, the bucket's ARN as the encryption context. S3 API reference, GetObject and
HeadObject: that an object is not there is told to callers with s3:ListBucket only; others are denied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from moto.s3.models import FakeDeleteMarker, s3_backends

from cdk_app.regions import dns_suffix, partition
from rehearsal.aws.policy import Request
from rehearsal.aws.protocol import Call

_SUBRESOURCES: Final = {
    **{name: name.capitalize() for name in ("policy", "tagging", "acl", "versioning", "location")},
    "encryption": "EncryptionConfiguration",
    "lifecycle": "LifecycleConfiguration",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "ownershipControls": "BucketOwnershipControls",
    "logging": "Logging",
}


def action(method: str, parameters: Mapping[str, Any]) -> str:
    """Return the IAM action of an S3 request."""
    query, key = parameters["Query"], parameters["Key"]
    verb = {"GET": "Get", "HEAD": "Get", "PUT": "Put", "POST": "Put", "DELETE": "Delete"}[method]
    for name, noun in _SUBRESOURCES.items():
        if name in query:
            kind = (
                "Object"
                if key
                else ""
                if noun[0:6] == "Bucket" or name in ("encryption", "lifecycle")
                else "Bucket"
            )
            return f"s3:{verb}{kind}{noun}"
    if key:
        return f"s3:{verb}Object" + ("Version" if "versionId" in query and verb != "Put" else "")
    if method == "POST":
        return "s3:DeleteObject"
    if verb == "Get":
        return "s3:ListBucketVersions" if "versions" in query else "s3:ListBucket"
    return "s3:CreateBucket" if verb == "Put" else "s3:DeleteBucket"


def is_missing(bucket: str, key: str) -> bool:
    """Whether a bucket, which there is, has no such object, or a delete marker in its place."""
    owner = s3_backends.bucket_accounts.get(bucket)
    if owner is None:
        return False
    found = s3_backends[owner[1]][owner[0]].buckets[bucket].keys.get(key)
    return found is None or isinstance(found, FakeDeleteMarker)


def needs(call: Call, bucket: str, act: str, need: Callable[[Request, str], Any]) -> Iterator[Any]:
    """Yield the KMS permission for reading or writing an object of an encrypted bucket."""
    wanted = {"s3:GetObject": "kms:Decrypt", "s3:PutObject": "kms:GenerateDataKey"}.get(act)
    key = _default_key(bucket) if wanted else None
    if wanted and key:
        region, account = key.split(":")[3:5]
        context = {
            "kms:ViaService": f"s3.{region}.{dns_suffix(region)}",
            "kms:EncryptionContext:aws:s3:arn": f"arn:{partition(region)}:s3:::{bucket}",
            "kms:CallerAccount": call.principal.account,
        }
        yield need(Request(wanted, key, context), account)


def _default_key(bucket: str) -> str | None:
    """Return the ARN of the key that a bucket encrypts with."""
    owner = s3_backends.bucket_accounts.get(bucket)
    if owner is None:
        return None
    found = s3_backends[owner[1]][owner[0]].buckets[bucket]
    rules = (found.encryption or {}).get("Rule", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        if key := default.get("KMSMasterKeyID"):
            home = (
                f"arn:{owner[0]}:kms:{found.region_name}:{owner[1]}:key/"  # of a key that is named by its id
            )
            return str(key) if key.startswith("arn:") else f"{home}{key}"
    return None
