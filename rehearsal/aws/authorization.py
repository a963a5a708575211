"""IAM's decision on a call: identity policies, resource policies, boundaries, trust.

The order is that of the IAM User Guide, "Policy evaluation logic": an explicit deny ends it; inside one
account an allow of either side is enough; across accounts both sides must allow; a boundary limits what
identity policies give. Policies are read from the emulated accounts at every call, so that a change holds
at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends

from rehearsal.aws.errors import AwsError, denied
from rehearsal.aws.policy import Decision, Request, account_names, evaluate, evaluate_resource, names_of
from rehearsal.aws.principals import Principal

_ALLOWED = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Authorization:
    """Decides on requests of principals, and on services that take roles."""

    def check(self, who: Principal, request: Request, *, resource_account: str | None = None) -> None:
        """Raise AccessDenied unless this caller may do this."""
        if who.is_service:
            return
        owner = resource_account or who.account
        context = {**_global_context(who), "aws:ResourceAccount": owner, "s3:ResourceAccount": owner}
        full = Request(request.action, request.resource, {**context, **request.context})
        decision = self._decide(who, full, owner)
        if decision is not Decision.ALLOW:
            why = "an explicit deny" if decision is Decision.EXPLICIT_DENY else "no policy allows it"
            raise denied(who.arn, request.action, request.resource, why)

    def check_assume(self, who: Principal, role_arn: str, external_id: str | None) -> None:
        """Raise AccessDenied unless this caller may take this role: its own policies and the role's trust."""
        context = {"sts:ExternalId": external_id} if external_id is not None else {}
        self.check(who, Request("sts:AssumeRole", role_arn, context), resource_account=role_arn.split(":")[4])

    def check_service(self, service: str, role_arn: str, source_account: str, source_arn: str) -> None:
        """Raise AccessDenied unless a role trusts this service for this resource."""
        context = {"aws:SourceAccount": source_account, "aws:SourceArn": source_arn}
        request = Request("sts:AssumeRole", role_arn, context)
        trust = _role(role_arn).assume_role_policy_document
        if evaluate_resource(trust, request, (service,)) is not Decision.ALLOW:
            raise denied(service, "sts:AssumeRole", role_arn, "the role's trust policy does not allow it")

    def _decide(self, who: Principal, request: Request, resource_account: str) -> Decision:
        own = identity_decision(who, request)
        policy = resource_policy(request.resource)
        if policy is None:
            # No resource policy: only the account's own principals may.
            return own if resource_account == who.account else Decision.IMPLICIT_DENY
        direct = evaluate_resource(policy, request, names_of(who))
        delegated = evaluate_resource(policy, request, account_names(who.account, who.arn.split(":")[1]))
        if Decision.EXPLICIT_DENY in (own, direct, delegated):
            return Decision.EXPLICIT_DENY
        theirs = Decision.ALLOW in (direct, delegated)
        if resource_account != who.account:
            return Decision.ALLOW if theirs and own is Decision.ALLOW else Decision.IMPLICIT_DENY
        needs_policy = request.action.startswith(("sts:", "kms:"))
        if needs_policy:  # a role and a key admit nobody whom their own policy does not name
            admitted = direct is Decision.ALLOW or (theirs and own is Decision.ALLOW)
        else:
            admitted = own is Decision.ALLOW or direct is Decision.ALLOW
        return Decision.ALLOW if admitted else Decision.IMPLICIT_DENY


def identity_decision(who: Principal, request: Request) -> Decision:
    """Return what a caller's own policies and boundary say."""
    if who.role_arn is None:
        return evaluate([_ALLOWED], request)
    role = _role(who.role_arn)
    backend = iam_backends[who.account][who.role_arn.split(":")[1]]
    attached = [_document(policy) for policy in role.managed_policies.values()]
    decision = evaluate([*role.policies.values(), *attached], request)
    if decision is Decision.ALLOW and role.permissions_boundary_arn:
        boundary = backend.get_policy(role.permissions_boundary_arn)
        if evaluate([_document(boundary)], request) is not Decision.ALLOW:
            return Decision.EXPLICIT_DENY
    return decision


def resource_policy(arn: str) -> str | Mapping[str, Any] | None:
    """Return the policy that a resource itself carries: a bucket's, a key's, a role's trust."""
    if not arn.startswith("arn:"):
        return None
    service, region, account, name = arn.split(":", 5)[2:]
    if service == "iam" and name.startswith("role/"):
        return str(_role(arn).assume_role_policy_document)
    if service == "kms":
        keys = kms_backends[account][region].keys
        key = keys.get(name.removeprefix("key/"))
        return str(key.policy) if key else None
    if service == "s3":
        owner = s3_backends.bucket_accounts.get(name.partition("/")[0])
        if owner is not None:
            policy = s3_backends[owner[1]][owner[0]].buckets[name.partition("/")[0]].policy
            return str(policy.decode() if isinstance(policy, bytes) else policy) if policy else None
    return None


def bucket_account(bucket: str) -> str | None:
    """Return whose a bucket is."""
    found = s3_backends.bucket_accounts.get(bucket)
    return found[1] if found else None


def _document(policy: Any) -> str:
    """Return the default version of a managed policy."""
    return next(str(version.document) for version in policy.versions if version.is_default)


def _role(arn: str) -> Any:
    account, name = arn.split(":")[4], arn.rpartition("/")[2]
    unknown = AwsError("AccessDenied", f"The role {arn} cannot be assumed or does not exist.", 403)
    try:
        role = iam_backends[account][arn.split(":")[1]].get_role(name)
    except Exception as error:  # moto's own NotFound
        raise unknown from error
    if role.arn != arn:  # of another path
        raise unknown
    return role


def _global_context(who: Principal) -> dict[str, str]:
    """Return the keys that AWS adds to every request; TLS is taken for granted."""
    return {
        "aws:PrincipalArn": who.role_arn or who.arn,
        "aws:PrincipalAccount": who.account,
        "aws:SecureTransport": "true",
        "s3:TlsVersion": "1.3",
    }
