"""KMS keys: one for data, one for everything else, so that reading the latter never opens the former."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_app.constructs.once import home_of, service
from cdk_app.regions import dns_suffix


class OperationsKey(kms.Key):
    """The key of logs, alerts and the mailbox: what operators and the server may see, never data."""

    def __init__(self, scope: Construct, *, removal: cdk.RemovalPolicy) -> None:
        owner = iam.PolicyStatement(
            principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"]
        )
        self._statements = iam.PolicyDocument(statements=[owner])
        super().__init__(
            scope,
            "Operations",
            description="Federated learning: logs, alerts and the mailbox",
            policy=self._statements,
            enable_key_rotation=True,
            removal_policy=removal,
        )

    def allow_alerts(self) -> None:
        """Let CloudWatch and EventBridge publish to an encrypted topic of this account."""
        self._statements.add_statements(
            iam.PolicyStatement(
                sid="AlertsOfThisAccount",
                principals=[service("cloudwatch.amazonaws.com"), service("events.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],  # In a key policy, "*" is this key.
                conditions={"StringEquals": {"aws:SourceAccount": home_of(self).account}},
            )
        )

    def allow_log_group(self, name: str) -> None:
        """Let CloudWatch Logs use this key for one log group."""
        home = home_of(self)
        arn = home.arn("logs", "log-group", name, ":")
        self._statements.add_statements(
            iam.PolicyStatement(
                principals=[service(f"logs.{home.region}.{dns_suffix(home.region)}")],
                actions=[
                    "kms:Decrypt*",
                    "kms:Describe*",
                    "kms:Encrypt*",
                    "kms:GenerateDataKey*",
                    "kms:ReEncrypt*",
                ],
                resources=["*"],  # In a key policy, "*" is this key.
                conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": arn}},
            )
        )


class Keys(Construct):
    """The two keys of an account.

    Parameters
    ----------
    existing_data_key
        The ARN of a key that the account's owner already has for its data; else one is made.
    """

    def __init__(
        self, scope: Construct, *, existing_data_key: str | None, removal: cdk.RemovalPolicy
    ) -> None:
        super().__init__(scope, "Keys")
        self.operations = OperationsKey(self, removal=removal)
        self.data: kms.IKey
        if existing_data_key is not None:
            self.data = kms.Key.from_key_arn(self, "Data", existing_data_key)
        else:
            self.data = kms.Key(
                self,
                "Data",
                description="Federated learning: data at rest",
                enable_key_rotation=True,
                removal_policy=removal,
            )
