"""Buckets and keys: what their policies allow, what they must refuse, and how the buckets are set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cdk_app.review.checks.boundary import Boundary
from cdk_app.review.reading.parts import Parts, bucket_key, log_bucket
from cdk_app.review.reading.statements import Condition, refuses, statements
from cdk_app.review.reading.template import Resource

_PUBLIC: Final = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
_TLS: Final = {
    "insecure transport": Condition("Bool", "aws:SecureTransport", ("false",)),
    "old TLS": Condition("NumericLessThan", "s3:TlsVersion", ("1.2",)),
}


class Storage:
    """The buckets and keys of a client's stack."""

    def __init__(self, parts: Parts, boundary: Boundary) -> None:
        self._parts, self._boundary = parts, boundary
        self._template, self._told = parts.template, boundary.told

    def check(self) -> None:
        """Object to each that is used by nothing, opened to others, or set otherwise than reviewed."""
        for kind, resource in self._buckets():
            self._check_bucket(kind, resource)
        for kind, resource in self._keys():
            self._check_key(kind, resource)

    def _buckets(self) -> Iterator[tuple[str, Resource]]:
        kinds = {self._parts.values.get(kind): kind for kind in ("data", "artifacts", "code", "mailbox")}
        if len(kinds) < 4:
            self._template.object("buckets", "Data, models, code and mailbox are not four different buckets.")
        buckets = self._template.of_kind("S3::Bucket")
        logged = set(map(log_bucket, buckets))
        for bucket in buckets:
            name, arn = self._template.reference(bucket.name), self._template.arn(bucket.name)
            kind = kinds.get(arn) or ("access logs" if name in logged else None)
            if kind is None:
                self._template.object(bucket.name, "The bucket is used by nothing that this review knows.")
                continue
            if kind == "access logs":
                self._template.call(name, "access logs bucket")
                self._parts.values["access_logs"] = arn
            yield kind, bucket

    def _check_bucket(self, kind: str, bucket: Resource) -> None:
        allowed, name = self._told["buckets"][kind], self._template.reference(bucket.name)
        policies = [
            p for p in self._template.of_kind("S3::BucketPolicy") if p.properties.get("Bucket") == name
        ]
        found = [
            statement
            for policy in policies
            for statement in statements(self._template, policy.properties.get("PolicyDocument"), policy.name)
        ]
        self._boundary.hold(f"{kind} bucket", found, allowed["may"])
        arn = self._template.arn(bucket.name)
        for name in allowed["refuses"]:
            if not all(
                any(refuses(s, "s3:*", what, when=_TLS[name]) for s in found) for what in (arn, f"{arn}/*")
            ):
                self._template.object(bucket.name, f"The {kind} bucket does not refuse {name}.")
        writer = next(iter(self._boundary.filled(allowed.get("only_writer", ""))), None)
        if (
            writer
            and not self._parts.direct
            and not any(refuses(s, "s3:PutObject", f"{arn}/*", but=writer) for s in found)
        ):
            self._template.object(
                bucket.name, f"The {kind} bucket does not refuse objects of others than {writer}."
            )
        self._check_bucket_settings(kind, bucket)

    def _check_bucket_settings(self, kind: str, bucket: Resource) -> None:
        properties = bucket.properties
        if any(properties.get("PublicAccessBlockConfiguration", {}).get(way) is not True for way in _PUBLIC):
            self._template.object(bucket.name, f"The {kind} bucket does not block all public access.")
        owner = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        if properties.get("OwnershipControls") != owner:
            self._template.object(bucket.name, f"Access lists can open objects of the {kind} bucket.")
        if properties.get("VersioningConfiguration") != {"Status": "Enabled"}:
            self._template.object(bucket.name, f"The {kind} bucket does not keep versions.")
        wanted = {"mailbox": "operations_key", "access logs": None}.get(kind, "data_key")
        if wanted and (key := bucket_key(bucket)) != self._parts.values.get(wanted):
            self._template.object(
                bucket.name, f"The {kind} bucket is encrypted with {key}, not with the {wanted}."
            )
        elsewhere = log_bucket(bucket)
        if kind != "access logs" and (elsewhere is None or self._parts.bucket(elsewhere) is None):
            self._template.object(
                bucket.name, f"Accesses to the {kind} bucket are not logged in this account."
            )

    def _keys(self) -> Iterator[tuple[str, Resource]]:
        values = self._parts.values
        if values.get("data_key") == values.get("operations_key"):
            self._template.object(
                "keys", "The data key is also the mailbox's, which the server may decrypt with."
            )
        own = f"arn:{self._template.partition}:kms:{self._template.region}:{self._template.account}:key/"
        if not str(values.get("data_key", "")).startswith(own):
            self._template.object(
                "keys", f"The data key {values.get('data_key')} is not of this account and Region."
            )
        kinds = {values.get(f"{kind}_key"): kind for kind in ("data", "operations", "signing")}
        for key in self._template.of_kind("KMS::Key"):
            kind = kinds.get(self._template.arn(key.name))
            if kind is None:
                self._template.object(key.name, "The key is used by nothing that this review knows.")
                continue
            yield kind, key

    def _check_key(self, kind: str, key: Resource) -> None:
        allowed = self._told["keys"][kind]
        found = statements(
            self._template, key.properties.get("KeyPolicy"), key.name, own=self._template.arn(key.name)
        )
        self._boundary.hold(f"{kind} key", found, allowed["may"])
        signer = next(iter(self._boundary.filled(allowed.get("only_signer", ""))), None)
        if signer and not any(
            refuses(s, "kms:Sign", self._template.arn(key.name), but=signer) for s in found
        ):
            self._template.object(
                key.name, f"The signing key does not refuse signatures to others than {signer}."
            )
