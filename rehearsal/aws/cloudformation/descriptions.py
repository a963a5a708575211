"""Stacks, their resources and their changes as CloudFormation's API describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.template import Template


@dataclass(frozen=True)
class ChangeSet:
    """What a stack would become."""

    stack: Stack
    template: Template
    request: Mapping[str, Any]

    def changes(self) -> list[dict[str, Any]]:
        """Return what would happen to which resource."""
        before, after = self.stack.resources, self.template.resources()
        actions = {
            **{name: ("Modify" if name in before else "Add", r["Type"]) for name, r in after.items()},
            **{name: ("Remove", before[name].type_name) for name in before if name not in after},
        }
        changes = [
            {"Action": action, "LogicalResourceId": name, "ResourceType": type_name}
            for name, (action, type_name) in actions.items()
        ]
        return [{"Type": "Resource", "ResourceChange": change} for change in changes]


def differs(stack: Stack, template: Template) -> bool:
    """Whether a template would change a stack."""
    now = stack.template
    return now is None or (now.body, now.parameters) != (template.body, template.parameters)


def described(stack: Stack) -> dict[str, Any]:
    """Return a stack as DescribeStacks does."""
    return {
        "StackId": stack.arn,
        "StackName": stack.name,
        "CreationTime": stack.created,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "Outputs": stack.outputs,
        "Parameters": list(stack.template.described_parameters()) if stack.template else [],
        "Tags": stack.request.get("Tags") or [],
        "RoleARN": stack.role_arn,
        "EnableTerminationProtection": stack.protected,
    }


def listed(stack: Stack) -> list[dict[str, Any]]:
    """Return a stack's resources as DescribeStackResources does."""
    return [
        {
            "LogicalResourceId": name,
            "PhysicalResourceId": deployed.resource.physical_id,
            "ResourceType": deployed.type_name,
            "ResourceStatus": "CREATE_COMPLETE",
            "LastUpdatedTimestamp": stack.created,
            "Timestamp": stack.created,
            "StackId": stack.arn,
            "StackName": stack.name,
        }
        for name, deployed in stack.resources.items()
    ]
