"""What a notebook may do: fetch its runtime, stop itself when idle, and what its stack adds to that."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_app.checks import acknowledge

# A managed policy has 6,144 characters; 50 role ARNs of at most 101 fit.
_ROLES_PER_POLICY = 50


class NotebookRole(iam.Role):
    """The role of one notebook instance; only SageMaker can take it, and only for this account."""

    def __init__(self, scope: Construct, *, notebook_name: str, role_name: str | None = None) -> None:
        stack = cdk.Stack.of(scope)
        notebook = stack.format_arn(service="sagemaker", resource="notebook-instance", resource_name=notebook_name)
        super().__init__(
            scope,
            "NotebookRole",
            role_name=role_name,
            description="What the federation's notebook in this account may do",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnEquals": {"aws:SourceArn": notebook},
                },
            ),
        )
        self.allow(
            "StopItselfWhenIdle",
            ["sagemaker:DescribeNotebookInstance", "sagemaker:StopNotebookInstance"],
            [notebook],
        )
        group = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name="/aws/sagemaker/NotebookInstances",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        self.allow(
            "OwnLogs",
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            [group, f"{group}:log-stream:{notebook_name}/*"],
        )

    def allow(self, sid: str, actions: Sequence[str], resources: Sequence[str]) -> None:
        """Add one statement."""
        self.add_to_policy(iam.PolicyStatement(sid=sid, actions=list(actions), resources=list(resources)))

    def allow_objects(self, sid: str, actions: Sequence[str], bucket: s3.IBucket, pattern: str) -> None:
        """Work with some objects of one of the account's buckets, which may also be listed."""
        self.allow(sid, [f"s3:{action}" for action in actions], [bucket.arn_for_objects(pattern)])
        self.allow(f"{sid}List", ["s3:ListBucket"], [bucket.bucket_arn])

    def allow_key(self, key: kms.IKey) -> None:
        """Use the data key for objects; the volume's grant is SageMaker's."""
        self.add_to_policy(
            iam.PolicyStatement(
                sid="DataOnS3",
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[key.key_arn],
                conditions={"StringEquals": {"kms:ViaService": f"s3.{cdk.Stack.of(self).region}.amazonaws.com"}},
            )
        )
        self.add_to_policy(
            iam.PolicyStatement(
                sid="Volume",
                actions=["kms:CreateGrant", "kms:DescribeKey"],
                resources=[key.key_arn],
                conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
            )
        )

    def allow_assume(self, role_arns: Sequence[str]) -> None:
        """Take exactly these roles, in as many policies as their number needs."""
        for start in range(0, len(role_arns), _ROLES_PER_POLICY):
            policy = iam.ManagedPolicy(
                self,
                f"KickoffRoles{start // _ROLES_PER_POLICY + 1}",
                description="The kickoff roles of the federation's clients",
                statements=[
                    iam.PolicyStatement(
                        sid="TakeKickoffRoles",
                        actions=["sts:AssumeRole"],
                        resources=list(role_arns[start : start + _ROLES_PER_POLICY]),
                    )
                ],
            )
            self.add_managed_policy(policy)

    def explain(self, patterns: dict[str, str]) -> None:
        """Acknowledge the resource patterns of this role's policy, each with its reason."""
        for resource, reason in patterns.items():
            acknowledge(self.node.find_child("DefaultPolicy"), f"IAM5[Resource::{resource}]", reason)
