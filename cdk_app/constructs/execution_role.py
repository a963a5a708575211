"""What a training job may do: read the data, write the model and its own certificate, say what it does."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_app.checks import acknowledge
from cdk_app.constructs.client_storage import ClientStorage


class ExecutionRole(iam.Role):
    """The role of a client's training jobs; only SageMaker can take it, and only for this account's jobs."""

    def __init__(self, scope: Construct, *, job_prefix: str) -> None:
        stack = cdk.Stack.of(scope)
        jobs = stack.format_arn(service="sagemaker", resource="training-job", resource_name=f"{job_prefix}*")
        super().__init__(
            scope,
            "ExecutionRole",
            description="What a federated training job may do in this account",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnLike": {"aws:SourceArn": jobs},
                },
            ),
        )
        self._log()

    def allow_storage(self, storage: ClientStorage, *, code: str, mailbox_prefix: str) -> None:
        """Read data and one object of code, write the model, and put certificates into the mailbox."""
        self._s3("ReadData", ["s3:GetObject"], storage.data.arn_for_objects("train/*"))
        self._s3("ReadCode", ["s3:GetObject"], code)
        self._s3("WriteModel", ["s3:PutObject"], storage.artifacts.arn_for_objects("models/*"))
        self._s3("WriteCertificate", ["s3:PutObject"], storage.mailbox.arn_for_objects(f"{mailbox_prefix}/*"))
        self.add_to_policy(
            iam.PolicyStatement(
                sid="ListData",
                actions=["s3:ListBucket"],
                resources=[storage.data.bucket_arn],
                conditions={"StringLike": {"s3:prefix": ["train", "train/*"]}},
            )
        )

    def allow_keys(self, *, data: kms.IKey, operations: kms.IKey) -> None:
        """Use the data key for objects and the volume, and the operations key for certificates only."""
        via_s3 = {"StringEquals": {"kms:ViaService": f"s3.{cdk.Stack.of(self).region}.amazonaws.com"}}
        for sid, actions, key, conditions in (
            ("DataOnS3", ["kms:Decrypt", "kms:GenerateDataKey"], data, via_s3),
            ("MailboxOnS3", ["kms:Decrypt", "kms:GenerateDataKey"], operations, via_s3),
            ("Volume", ["kms:CreateGrant"], data, {"Bool": {"kms:GrantIsForAWSResource": "true"}}),
            ("OutputKey", ["kms:DescribeKey", "kms:Encrypt"], data, None),
        ):
            self.add_to_policy(
                iam.PolicyStatement(sid=sid, actions=actions, resources=[key.key_arn], conditions=conditions)
            )

    def allow_network(self, *, subnet_ids: Sequence[str], group_id: str) -> None:
        """Attach the job to these subnets with this security group, and nowhere else."""
        stack = cdk.Stack.of(self)

        def ec2(kind: str, name: str) -> str:
            return stack.format_arn(service="ec2", resource=kind, resource_name=name)

        interfaces = ec2("network-interface", "*")
        subnets = [ec2("subnet", subnet) for subnet in subnet_ids]
        self.add_to_policy(
            iam.PolicyStatement(
                sid="AttachToOurSubnets",
                actions=["ec2:CreateNetworkInterface"],
                resources=[*subnets, ec2("security-group", group_id), interfaces],
            )
        )
        self.add_to_policy(
            iam.PolicyStatement(
                sid="OwnInterfaces",
                actions=[
                    "ec2:CreateNetworkInterfacePermission",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DeleteNetworkInterfacePermission",
                ],
                resources=[interfaces],
                conditions={"ArnEquals": {"ec2:Subnet": subnets}},
            )
        )
        self.add_to_policy(
            iam.PolicyStatement(
                sid="DescribeNetwork",
                actions=[
                    f"ec2:Describe{what}"
                    for what in ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
                ],
                resources=["*"],  # EC2's Describe actions take no resource.
            )
        )

    def _log(self) -> None:
        stack = cdk.Stack.of(self)
        group = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name="/aws/sagemaker/TrainingJobs",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        self.add_to_policy(
            iam.PolicyStatement(
                sid="JobLogs",
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                resources=[group, f"{group}:*"],
            )
        )
        self.add_to_policy(
            iam.PolicyStatement(
                sid="JobMetrics",
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],  # PutMetricData takes no resource; the namespace pins it.
                conditions={"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}},
            )
        )

    def _s3(self, sid: str, actions: list[str], resource: str) -> None:
        self.add_to_policy(iam.PolicyStatement(sid=sid, actions=actions, resources=[resource]))
