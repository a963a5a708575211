"""The table that lets one run at a time start, and so many a day: one item, which the broker alone writes."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk_app.checks import acknowledge
from cdk_app.constructs.broker.lock_states import KEY


class RunLockTable(dynamodb.Table):
    """The client's run lock. It holds a run's id, a day and a count: the service's own key will do."""

    def __init__(self, scope: Construct) -> None:
        super().__init__(
            scope,
            "RunLock",
            partition_key=dynamodb.Attribute(name=KEY, type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        acknowledge(self, {"DDB3": "The last run's id and today's count: nothing to restore."})
