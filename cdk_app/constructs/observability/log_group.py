"""A log group that is encrypted, and forgets after a year."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.constructs.storage.keys import OperationsKey


class EncryptedLogGroup(logs.LogGroup):
    """A named log group under the account's operations key; the key's policy names it back."""

    def __init__(self, scope: Construct, construct_id: str, *, name: str, key: OperationsKey) -> None:
        key.allow_log_group(name)
        super().__init__(
            scope,
            construct_id,
            log_group_name=name,
            encryption_key=key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
