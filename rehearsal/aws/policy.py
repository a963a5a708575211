"""The policy language of IAM: does a list of statements allow or deny this action on this resource?

Rules and names are those of the IAM User Guide, "IAM JSON policy element reference". What is not implemented
raises, so that a policy is never read as weaker or stronger than it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from rehearsal.aws.conditions import holds
from rehearsal.aws.principals import Principal

Context = Mapping[str, str | Sequence[str]]


class Decision(StrEnum):
    """What a set of statements says; an explicit deny overrides every allow."""

    ALLOW = "allow"
    EXPLICIT_DENY = "explicit deny"
    IMPLICIT_DENY = "implicit deny"


@dataclass(frozen=True)
class Request:
    """What somebody wants to do."""

    action: str
    resource: str
    context: Context


def statements(document: str | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the statements of a policy document."""
    parsed = json.loads(document) if isinstance(document, str) else document
    found = parsed["Statement"]
    return [found] if isinstance(found, Mapping) else list(found)


def evaluate(policies: Iterable[str | Mapping[str, Any]], request: Request) -> Decision:
    """Decide identity policies, or a boundary: statements without a principal."""
    return _decide(
        (s for policy in policies for s in statements(policy) if _covers(s, request)), request.context
    )


def evaluate_resource(policy: str | Mapping[str, Any], request: Request, who: Sequence[str]) -> Decision:
    """Decide a resource policy for a caller who goes by any of these names."""
    named = (s for s in statements(policy) if _names(s, who) and _covers(s, request, needs_resource=False))
    return _decide(named, request.context)


def names_of(principal: Principal) -> tuple[str, ...]:
    """Return the ARNs by which a resource policy may mean exactly this caller."""
    return (principal.arn,) if principal.role_arn is None else (principal.arn, principal.role_arn)


def account_names(account: str, partition: str = "aws") -> tuple[str, ...]:
    """Return how a resource policy names an account, which leaves the decision to its own policies."""
    return (account, f"arn:{partition}:iam::{account}:root")


def _decide(found: Iterable[Mapping[str, Any]], context: Context) -> Decision:
    decision = Decision.IMPLICIT_DENY
    for statement in found:
        if holds(statement.get("Condition", {}), context):
            if statement["Effect"] == "Deny":
                return Decision.EXPLICIT_DENY
            decision = Decision.ALLOW
    return decision


def _names(statement: Mapping[str, Any], who: Sequence[str]) -> bool:
    """Whether a statement's principal is this caller; "*" is everybody."""
    if "NotPrincipal" in statement:
        raise NotImplementedError("NotPrincipal")
    principal = statement["Principal"]
    listed = [principal] if isinstance(principal, str) else [p for v in principal.values() for p in many(v)]
    return "*" in listed or any(name in listed for name in who)


def _covers(statement: Mapping[str, Any], request: Request, needs_resource: bool = True) -> bool:
    if "NotResource" in statement:
        raise NotImplementedError("NotResource")
    if "NotAction" in statement:
        acts = not any(like(p, request.action, ignore_case=True) for p in many(statement["NotAction"]))
    else:
        acts = any(like(p, request.action, ignore_case=True) for p in many(statement["Action"]))
    if not needs_resource and "Resource" not in statement:
        return acts  # a trust policy is about its own role
    return acts and any(
        like(_filled(p, request.context), request.resource) for p in many(statement["Resource"])
    )


def _filled(pattern: str, context: Context) -> str:
    """Put context values in the place of policy variables (`${aws:PrincipalAccount}`)."""
    return re.sub(r"\$\{([^}]+)\}", lambda found: str(context.get(found[1], "\0")), pattern)


def many(value: Any) -> list[Any]:
    """Return a list, as every element of a policy may be one value or a list of them."""
    return list(value) if isinstance(value, list | tuple) else [value]


def like(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """Match IAM's wildcards: `*` is any text, `?` one character."""
    return bool(_compiled(pattern, ignore_case).fullmatch(value))


@lru_cache(maxsize=10_000)
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))
