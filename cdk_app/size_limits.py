"""AWS's limits on the size of policies, held at synth: a deployment would find them one account at a time."""

from __future__ import annotations

import json
from typing import Any, Final

import aws_cdk as cdk
import jsii
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import IConstruct

TOKEN_LENGTH: Final = 100
"""What an ARN is taken to have that is known after deployment only."""

ENDPOINT_POLICY: Final = 20_480
BUCKET_POLICY: Final = 20_480
KEY_POLICY: Final = 32_768
MANAGED_POLICY: Final = 6_144
INLINE_POLICIES: Final = 10_240
TRUST_POLICY: Final = 2_048
"""Characters, white space aside. Sources: the quotas of VPC, S3, KMS and "IAM and AWS STS quotas"."""


@jsii.implements(cdk.IAspect)
class SizeLimits:
    """Find every policy that AWS would refuse for its size, and say whose it is."""

    def visit(self, node: IConstruct) -> None:
        """Look at one construct."""
        if isinstance(node, ec2.CfnVPCEndpoint):
            self._hold(node, "endpoint policy", node.policy_document, ENDPOINT_POLICY)
        elif isinstance(node, s3.CfnBucketPolicy):
            self._hold(node, "bucket policy", node.policy_document, BUCKET_POLICY)
        elif isinstance(node, kms.CfnKey):
            self._hold(node, "key policy", node.key_policy, KEY_POLICY)
        elif isinstance(node, iam.CfnManagedPolicy):
            self._hold(node, "managed policy", node.policy_document, MANAGED_POLICY)
        elif isinstance(node, iam.CfnPolicy):
            self._hold(node, "inline policies of a role", node.policy_document, INLINE_POLICIES)
        elif isinstance(node, iam.CfnRole):
            self._hold(node, "trust policy", node.assume_role_policy_document, TRUST_POLICY)

    def _hold(self, node: cdk.CfnResource, what: str, document: Any, most: int) -> None:
        size = length(cdk.Stack.of(node).resolve(document))
        if size > most:
            cdk.Annotations.of(node).add_error(
                f"The {what} has about {size:,} characters, AWS takes {most:,}: split the federation in two, "
                "or give some clients a server of their own."
            )


def length(document: Any) -> int:
    """Return about how many characters a resolved policy has; what is not known yet counts as an ARN."""
    if isinstance(document, dict) and len(document) == 1 and next(iter(document)).startswith(("Ref", "Fn::")):
        joined = document.get("Fn::Join")
        return sum(map(length, joined[1])) if joined else TOKEN_LENGTH
    if isinstance(document, dict):
        return 1 + sum(len(json.dumps(key)) + 2 + length(value) for key, value in document.items())
    if isinstance(document, list):
        return 1 + sum(1 + length(part) for part in document)
    return len(json.dumps(document))
