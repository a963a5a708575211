"""Stacks and their resources as CloudFormation's API describes them."""

from __future__ import annotations

import json
from typing import Any

from rehearsal.aws.cloudformation.stack import Stack


def described(stack: Stack) -> dict[str, Any]:
    """Return a stack as DescribeStacks does."""
    return {
        "StackId": stack.arn,
        "StackName": stack.name,
        "CreationTime": stack.created,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "Outputs": stack.outputs,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": json.dumps(v) if isinstance(v, list) else v}
            for key, v in (stack.template.parameters if stack.template else {}).items()
        ],
        "Tags": stack.request.get("Tags") or [],
        "RoleARN": stack.request.get("RoleARN"),
        "EnableTerminationProtection": bool(stack.request.get("EnableTerminationProtection")),
    }


def listed(stack: Stack) -> list[dict[str, Any]]:
    """Return a stack's resources as DescribeStackResources does."""
    return [
        {
            "LogicalResourceId": name,
            "PhysicalResourceId": resource.made.physical_id,
            "ResourceType": resource.type_name,
            "ResourceStatus": "CREATE_COMPLETE",
            "LastUpdatedTimestamp": stack.created,
            "Timestamp": stack.created,
            "StackId": stack.arn,
            "StackName": stack.name,
        }
        for name, resource in stack.resources.items()
    ]
