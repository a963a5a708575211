"""AWS's limits on the size of policies, held at synth: a deployment would find them one account at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

TOKEN_LENGTH: Final = 100
"""What an ARN is taken to have that is known after deployment only."""

LIMITS: Final = {
    "AWS::EC2::VPCEndpoint": ("PolicyDocument", "endpoint policy", 20_480),
    "AWS::S3::BucketPolicy": ("PolicyDocument", "bucket policy", 20_480),
    "AWS::KMS::Key": ("KeyPolicy", "key policy", 32_768),
    "AWS::IAM::ManagedPolicy": ("PolicyDocument", "managed policy", 6_144),
    "AWS::IAM::Policy": ("PolicyDocument", "inline policies of a role", 10_240),
    "AWS::IAM::Role": ("AssumeRolePolicyDocument", "trust policy", 2_048),
}
"""Characters, white space aside. Sources: the quotas of VPC, S3, KMS and "IAM and AWS STS quotas"."""


MOST_POLICIES: Final = 10
"""Managed policies of a role, by default; AWS raises it on request ("IAM and AWS STS quotas")."""


def too_long(template: Mapping[str, Any], clients: int) -> Iterator[str]:
    """Yield what AWS would refuse in a template of a federation of so many clients for its size."""
    for name, resource in template.get("Resources", {}).items():
        policies = resource.get("Properties", {}).get("ManagedPolicyArns", [])
        if resource["Type"] == "AWS::IAM::Role" and len(policies) > MOST_POLICIES:
            yield (
                f"the role {name} has {len(policies)} managed policies, AWS lets it have {MOST_POLICIES}: "
                "split the federation in two, or shorten role_path and role_prefix of its clients."
            )
        if resource["Type"] in LIMITS:
            key, what, most = LIMITS[resource["Type"]]
            if (size := length(resource.get("Properties", {}).get(key, ""))) > most:
                yield (
                    f"the {what} of {name} has about {size:,} characters, AWS takes {most:,}. Where it grows "
                    f"with the clients, at most {clients * most // size} of these {clients} fit: split the "
                    "federation in two, shorten names, or give fewer tags."
                )


def too_long_in(templates: Iterable[Path], clients: int) -> list[str]:
    """Return the same for every template that synth wrote, each with its stack.

    A folder may have others, of an earlier synth or of another account.
    """
    return [
        f"{path.name.removesuffix('.template.json')}: {line}"
        for path in sorted(templates)
        for line in too_long(json.loads(path.read_text(encoding="utf-8")), clients)
    ]


def length(document: Any) -> int:
    """Return about how many characters a policy of a template has; what is not known yet counts as an ARN."""
    if isinstance(document, dict) and len(document) == 1 and next(iter(document)).startswith(("Ref", "Fn::")):
        joined = document.get("Fn::Join")
        return sum(map(length, joined[1])) if joined else TOKEN_LENGTH
    if isinstance(document, dict):
        return 1 + sum(len(json.dumps(key)) + 2 + length(value) for key, value in document.items())
    if isinstance(document, list):
        return 1 + sum(1 + length(part) for part in document)
    return len(json.dumps(document))
