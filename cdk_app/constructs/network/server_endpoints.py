"""The AWS APIs that the server calls, and for which of its clients' resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.constructs.network import endpoint_policy as policy
from cdk_app.constructs.network.endpoint_policy import list_length
from cdk_app.constructs.network.endpoints import InterfaceEndpoints
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.once import home_of
from cdk_app.naming import ClientNames, ServerNames

MOST_LISTED: Final = 125
"""Roles of the longest names that an endpoint's policy holds; beyond, a pattern and the clients' accounts do.

The notebook's own policies list each role in any case.
"""


class ServerEndpoints(Construct):
    """STS and SageMaker always; what else is called only where a client needs it.

    For a network of our own: in one that the account had before, they are its owner's business.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        server: ServerNames,
        network: Network,
        brokered: Sequence[ClientNames],
        direct: Sequence[ClientNames],
        target_group_arn: str | None,
    ) -> None:
        super().__init__(scope, "Apis")
        clients = [*brokered, *direct]
        doors = InterfaceEndpoints(self, vpc=network.vpc, region=server.region, callers=[network.cidr])
        doors.add("sts", self._kickoff_roles(server, clients))
        sagemaker = doors.add("sagemaker.api", policy.own_notebook(home_of(self), server.notebook))
        sagemaker.add_to_policy(policy.own_script(home_of(self), server.notebook))
        sagemaker.add_to_policy(policy.registry(home_of(self), server.federation))
        if target_group_arn is not None:
            doors.add("elasticloadbalancing", policy.register(server.account, target_group_arn))
        near = [client for client in brokered if client.region == server.region]
        if near:
            doors.add("states", policy.brokers([c.account for c in near], server.any_broker_arn))
        if direct:
            accounts = [client.account for client in direct]
            sagemaker.add_to_policy(policy.jobs(accounts, [client.job_arn for client in direct]))
            doors.add("ssm", policy.parameters(accounts, [client.job_parameter_arn for client in direct]))
        for region in sorted({client.region for client in clients}):
            boxes = [client for client in clients if client.region == region]
            statement = policy.mailboxes(
                [c.account for c in boxes], sorted({c.any_mailbox_arn for c in boxes})
            )
            if region == server.region:
                network.allow_s3(statement)
            else:
                doors.add("s3", statement, region=region)

    @staticmethod
    def _kickoff_roles(server: ServerNames, clients: Sequence[ClientNames]) -> iam.PolicyStatement:
        """Let the server take its clients' kickoff roles: each by its ARN, while a policy holds them."""
        listed = [client.kickoff_role_arn for client in clients]
        longest = list_length("x" * 101) * MOST_LISTED  # with the longest names and no path
        if len(clients) <= MOST_LISTED and list_length(*listed) <= longest:
            return policy.allow("TakeKickoffRoles", ["sts:AssumeRole"], listed, [server.account])
        some = policy.allow(
            "TakeKickoffRoles",
            ["sts:AssumeRole"],
            sorted({client.any_kickoff_role_arn for client in clients}),
            [server.account],
        )
        some.add_condition("StringEquals", {"aws:ResourceAccount": [client.account for client in clients]})
        return some
