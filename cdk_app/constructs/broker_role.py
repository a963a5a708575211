"""What the broker may do: everything that its pinned request needs, on exactly those resources."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_app.constructs.broker_states import Bundle


class BrokerRole(iam.Role):
    """The role of the broker's state machine; only Step Functions can take it, for this account."""

    def __init__(self, scope: Construct, construct_id: str, *, state_machine_arn: str) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Starts, watches and stops federated training jobs as the client's stack pins them",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": cdk.Stack.of(scope).account},
                    "ArnEquals": {"aws:SourceArn": state_machine_arn},
                },
            ),
        )

    def allow_switch(self, parameter_arn: str) -> None:
        """Read whether this account takes part."""
        self._allow("ReadParticipation", ["ssm:GetParameter"], [parameter_arn])

    def allow_bundle(self, bundle: Bundle, key: kms.IKey) -> None:
        """Copy the published code, and nothing else, into the code bucket."""
        stack = cdk.Stack.of(self)

        def object_arn(bucket: str, name: str) -> str:
            return stack.format_arn(service="s3", region="", account="", resource=bucket, resource_name=name)

        self._allow(
            "ReadPublishedBundle", ["s3:GetObject"], [object_arn(bundle.published_bucket, bundle.published_key)]
        )
        self._allow("AdmitBundle", ["s3:PutObject"], [object_arn(bundle.code_bucket, bundle.code_key)])
        self._allow(
            "EncryptBundle",
            ["kms:Decrypt", "kms:GenerateDataKey"],
            [key.key_arn],
            {"StringEquals": {"kms:ViaService": f"s3.{stack.region}.amazonaws.com"}},
        )

    def allow_job(self, *, job_prefix: str, execution_role_arn: str) -> None:
        """Start, watch and stop jobs of this federation, and pass them the execution role."""
        job = cdk.Stack.of(self).format_arn(
            service="sagemaker", resource="training-job", resource_name=f"{job_prefix}run-*"
        )
        actions = ["AddTags", "CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"]
        self._allow("RunJob", [f"sagemaker:{action}" for action in actions], [job])
        self._allow(
            "PassExecutionRole",
            ["iam:PassRole"],
            [execution_role_arn],
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )

    def allow_stop(self, *, job_prefix: str) -> None:
        """Stop jobs of this federation."""
        job = cdk.Stack.of(self).format_arn(
            service="sagemaker", resource="training-job", resource_name=f"{job_prefix}run-*"
        )
        self._allow("StopJob", ["sagemaker:StopTrainingJob"], [job])

    def _allow(
        self, sid: str, actions: list[str], resources: list[str], conditions: dict[str, object] | None = None
    ) -> None:
        self.add_to_policy(iam.PolicyStatement(sid=sid, actions=actions, resources=resources, conditions=conditions))
