"""Roles that are named by the rules of their account's owner: under a path, and with a prefix."""

from __future__ import annotations

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from cdk_app.naming import RoleNames

_PURPOSES: Final = {
    "Broker/Start/Role": "broker",
    "Broker/Stopper/EventsRole": "stop-events",
    "Broker/Stopper/Stop/Role": "stopper",
    "Broker/Sweeper/EventsRole": "sweep-events",
    "Broker/Sweeper/Sweep/Role": "sweeper",
    "DataPreparation/NotebookRole": "notebook",
    "Federation/Schedule/Role": "schedule",
    "Job/ExecutionRole": "job",
    "Network/FlowLogRole": "flow-log",
    "Serving/ServingRole": "serving",
}
"""What a role that has no name is for. None is the beginning of another, so that names are told apart."""


def name_roles(stack: cdk.Stack, roles: RoleNames, owner: str) -> None:
    """Give every role, and every policy of its own that a role needs, its path and its prefix.

    Parameters
    ----------
    owner
        What a name ends with: the federation, and in a client's account the client.
    """
    if roles == RoleNames():
        return  # as CDK and CloudFormation name them
    for node in stack.node.find_all():
        if isinstance(node, iam.CfnRole):
            node.path = roles.path
            # What has no name has a token of CDK's that says so.
            if roles.prefix and stack.resolve(node.role_name) is None:
                node.role_name = f"{roles.prefix}FL-{_PURPOSES[_place(node)]}-{owner}"
        elif isinstance(node, iam.CfnManagedPolicy):
            node.path = roles.path
            if roles.prefix:
                node.managed_policy_name = f"{roles.prefix}FL-{_place(node).rpartition('/')[2]}-{owner}"


def _place(resource: cdk.CfnResource) -> str:
    """Return where in its stack a resource is."""
    return resource.node.path.partition("/")[2].removesuffix("/Resource")
