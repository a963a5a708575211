"""A role whose every wildcard is explained where it is granted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from cdk_app.checks import acknowledge


class ScopedRole(iam.Role):
    """An IAM role that is granted one named statement at a time."""

    def allow(
        self,
        sid: str,
        actions: Sequence[str],
        resources: Sequence[str],
        conditions: Mapping[str, Mapping[str, object]] | None = None,
        *,
        why: str | None = None,
    ) -> None:
        """Grant one statement.

        Parameters
        ----------
        why
            The reason for each resource with a `*` in it; without one, such a resource fails synth.
        """
        self.add_to_policy(
            iam.PolicyStatement(
                sid=sid, actions=list(actions), resources=list(resources), conditions=conditions
            )
        )
        if why is not None:
            acknowledge_wildcards(self, resources, why)

    def allow_asset_key(self, key_arn: str | None, bucket_arn: str, objects: Sequence[str]) -> None:
        """Decrypt what cdk published, where the bootstrap's bucket has a key: these objects, through S3 only.

        S3's encryption context is the bucket where it has a bucket key, else the object.
        """
        if key_arn is not None:
            of_these = {"kms:EncryptionContext:aws:s3:arn": [bucket_arn, *objects]}
            conditions = {"StringEquals": {**via_s3(self)["StringEquals"], **of_these}}
            self.allow("AssetKey", ["kms:Decrypt"], [key_arn], conditions)


def acknowledge_wildcards(role: iam.Role, resources: Sequence[str], why: str) -> None:
    """Accept cdk-nag's finding for each of these resources that has a wildcard."""
    wild = [resource for resource in resources if "*" in resource]
    if unknown := [resource for resource in wild if "${Token[" in resource]:
        resolved = cdk.Stack.of(role).resolve(unknown)
        known = dict(zip(unknown, map(_as_nag_writes, resolved), strict=True))
        wild = [known.get(resource, resource) for resource in wild]
    if wild:
        acknowledge(role, *(f"IAM5[Resource::{resource}]" for resource in wild), reason=why)


def via_s3(role: iam.Role) -> dict[str, dict[str, object]]:
    """Return the condition that a key is used through S3 only."""
    return {"StringEquals": {"kms:ViaService": f"s3.{cdk.Stack.of(role).region}.amazonaws.com"}}


def _as_nag_writes(resolved: Any) -> str:
    """Render a resolved value as cdk-nag names it: `<LogicalId.Attribute>` for what is not known yet."""
    if isinstance(resolved, str):
        return resolved
    ((function, argument),) = resolved.items()
    if function == "Ref":
        return f"<{argument}>"
    if function == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    separator, parts = argument
    return str(separator).join(_as_nag_writes(part) for part in parts)
