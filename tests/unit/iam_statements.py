"""Reads every IAM statement of a template in a form that a person can check."""

from __future__ import annotations

import json
from typing import Any

from assembly import Template, masked, of_type, plain


def rendered(value: Any) -> Any:
    """A policy's value with intrinsics written out, and lists of one as what they hold."""
    if isinstance(value, list):
        return [rendered(part) for part in value]
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)) in ("Ref", "Fn::GetAtt", "Fn::Join"):
            return plain(value)
        return {key: rendered(part) for key, part in value.items()}
    return value


def statements(template: Template) -> dict[str, dict[str, Any]]:
    """Of each role: who may take it, and each statement that it is granted, by its name."""
    roles: dict[str, dict[str, Any]] = {}
    for key, role in of_type(template, "IAM::Role").items():
        inline = [s for p in role.get("Policies", []) for s in p["PolicyDocument"]["Statement"]]
        roles[key] = {"trust": rendered(role["AssumeRolePolicyDocument"]["Statement"]), "grants": inline}
        assert "PermissionsBoundary" not in role
        managed = [rendered(arn) for arn in role.get("ManagedPolicyArns", [])]
        assert all(arn.startswith("<") for arn in managed), f"{key} has a policy that is not ours: {managed}"
    for kind in ("IAM::Policy", "IAM::ManagedPolicy"):
        for policy in of_type(template, kind).values():
            attached = policy.get("Roles") or [
                {"Ref": key}
                for key, role in of_type(template, "IAM::Role").items()
                if any("KickoffRoles" in plain(arn) for arn in role.get("ManagedPolicyArns", []))
            ]
            for role in attached:  # one of another stack by its name
                key = role["Ref"] if isinstance(role, dict) else role
                roles.setdefault(key, {"grants": []})["grants"] += policy["PolicyDocument"]["Statement"]
    for said in roles.values():
        said["grants"] = [masked(rendered(statement)) for statement in said["grants"]]
    return roles


def as_json(value: Any) -> str:
    """The same text for the same value."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
