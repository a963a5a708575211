"""Keys, roles and buckets: enabled, and with exactly the policies that the templates give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cdk_app.preflight.account import Account
from cdk_app.preflight.deployed import DeployedStack, Resource
from cdk_app.preflight.policies import Document, differences
from cdk_app.preflight.side import DEPLOY, Side
from runtime.server.preflight.findings import Problem

Documents = Mapping[str, Document]


def keys(side: Side) -> Iterator[Problem | str]:
    """Look at each key's state and policy."""
    found = list(side.stack().resources("AWS::KMS::Key"))
    for key in found:
        for what in _key(side.account, key.physical_id, key.properties["KeyPolicy"]):
            yield Problem(side.owner, f"The key {key.physical_id} ({key.name}): {what}.", _key_fix(what))
    if side.place.key_arn is not None:
        for what in _key(side.account, side.place.key_arn, None):
            yield Problem(side.owner, f"The key {side.place.key_arn} (key_arn): {what}.", _key_fix(what))
    yield f"{len(found) + (side.place.key_arn is not None)} enabled"


def _key(account: Account, identity: str, policy: Document | None) -> Iterator[str]:
    answer = account.get("kms", "describe_key", KeyId=identity)
    if answer is None:
        yield "it is not there"
        return
    if (state := answer["KeyMetadata"]["KeyState"]) != "Enabled":
        yield f"it is {state}"
    if policy is not None:
        live = account.client("kms").get_key_policy(KeyId=identity, PolicyName="default")["Policy"]
        for difference in differences(live, policy):
            yield f"of its policy, {difference}"


def _key_fix(what: str) -> str:
    if "PendingDeletion" in what:
        return "aws kms cancel-key-deletion, then enable-key; what it encrypts cannot be read without it."
    return "aws kms enable-key." if "Disabled" in what else DEPLOY


def roles(side: Side) -> Iterator[Problem | str]:
    """Compare each role's trust, policies and boundary with the templates'."""
    count, stacks = 0, list(side.stacks())
    for stack in stacks:
        for role in stack.resources("AWS::IAM::Role"):
            count += 1
            for what in _role(side.account, stacks, stack, role):
                yield Problem(side.owner, f"The role {role.physical_id} ({role.name}): {what}.", DEPLOY)
    yield f"{count} as their templates say"


def _role(
    account: Account, stacks: Sequence[DeployedStack], stack: DeployedStack, role: Resource
) -> Iterator[str]:
    answer = account.get("iam", "get_role", RoleName=role.physical_id)
    if answer is None:
        yield "it is not there"
        return
    live = answer["Role"]
    for difference in differences(
        live["AssumeRolePolicyDocument"], role.properties["AssumeRolePolicyDocument"]
    ):
        yield f"of whom it trusts, {difference}"
    boundary = live.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    if boundary != role.properties.get("PermissionsBoundary"):
        yield f"its boundary is {boundary}"
    yield from _inline(account, role.physical_id, _inline_policies(stacks, role))
    yield from _attached(account, role.physical_id, _managed_policies(stack, role))


def _inline_policies(stacks: Sequence[DeployedStack], role: Resource) -> Documents:
    """Return a role's policies by name; a client's peer stack has one for a role of the server's stack."""
    own = {p["PolicyName"]: p["PolicyDocument"] for p in role.properties.get("Policies", [])}
    more = [p.properties for stack in stacks for p in stack.resources("AWS::IAM::Policy")]
    return {
        **own,
        **{p["PolicyName"]: p["PolicyDocument"] for p in more if role.physical_id in p.get("Roles", [])},
    }


def _managed_policies(stack: DeployedStack, role: Resource) -> dict[str, Document | None]:
    """Return the policies by ARN; None for those that are not the stack's own."""
    mine = {p.physical_id: p.properties for p in stack.resources("AWS::IAM::ManagedPolicy")}
    attached = {arn: p["PolicyDocument"] for arn, p in mine.items() if role.physical_id in p.get("Roles", [])}
    named = {
        arn: mine[arn]["PolicyDocument"] if arn in mine else None
        for arn in role.properties.get("ManagedPolicyArns", [])
    }
    return {**named, **attached}


def _inline(account: Account, role: str, expected: Documents) -> Iterator[str]:
    there = account.all("iam", "list_role_policies", "PolicyNames", RoleName=role)
    names = {str(name) for name in there}
    for name in sorted(names - expected.keys()):
        yield f"it has a policy more, {name}"
    for name, document in expected.items():
        if name not in names:
            yield f"it lacks its policy {name}"
            continue
        live = account.client("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for difference in differences(live, document):
            yield f"of its policy {name}, {difference}"


def _attached(account: Account, role: str, expected: Mapping[str, Document | None]) -> Iterator[str]:
    listed = account.all("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role)
    there = {str(policy["PolicyArn"]) for policy in listed}
    for arn in sorted(there - expected.keys()):
        yield f"it has a policy more, {arn}"
    for arn, document in expected.items():
        if arn not in there:
            yield f"it lacks its policy {arn}"
        elif document is not None:
            version = account.client("iam").get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            answer = account.client("iam").get_policy_version(PolicyArn=arn, VersionId=version)
            for difference in differences(answer["PolicyVersion"]["Document"], document):
                yield f"of its policy {arn}, {difference}"


def buckets(side: Side) -> Iterator[Problem | str]:
    """Compare each bucket's policy, encryption and public access with the template's."""
    stack = side.stack()
    policies = {
        p.properties["Bucket"]: p.properties["PolicyDocument"]
        for p in stack.resources("AWS::S3::BucketPolicy")
    }
    found = list(stack.resources("AWS::S3::Bucket"))
    for bucket in found:
        for what in _bucket(side.account, bucket, policies.get(bucket.physical_id)):
            yield Problem(side.owner, f"The bucket {bucket.physical_id} ({bucket.name}): {what}.", DEPLOY)
    yield f"{len(found)} as their template says"


def _bucket(account: Account, bucket: Resource, policy: Document | None) -> Iterator[str]:
    name = bucket.physical_id
    if account.get("s3", "head_bucket", Bucket=name) is None:
        yield "it is not there"
        return
    answer = account.get("s3", "get_bucket_policy", Bucket=name)
    for difference in differences(answer["Policy"] if answer else None, policy):
        yield f"of its policy, {difference}"
    said = bucket.properties
    if "PublicAccessBlockConfiguration" in said:
        blocked = account.get("s3", "get_public_access_block", Bucket=name)
        live = blocked["PublicAccessBlockConfiguration"] if blocked else {}
        if off := sorted(
            k for k, on in said["PublicAccessBlockConfiguration"].items() if on and not live.get(k)
        ):
            yield f"public access is possible: {', '.join(off)} is off"
    if key := _key_of(said.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])):
        encrypted = account.get("s3", "get_bucket_encryption", Bucket=name)
        rules = encrypted["ServerSideEncryptionConfiguration"]["Rules"] if encrypted else []
        if (there := _key_of(rules)) is None or there.rpartition("/")[2] != key.rpartition("/")[2]:
            yield f"it is encrypted with {there or 'no key of ours'}, not with {key}"


def _key_of(rules: list[dict[str, Any]]) -> str | None:
    for rule in rules:
        default = (
            rule.get("ServerSideEncryptionByDefault") or rule.get("ApplyServerSideEncryptionByDefault") or {}
        )
        if key := default.get("KMSMasterKeyID"):
            return str(key)
    return None
