"""The only role that the server takes in a client's account: start, watch, stop, and read one mailbox."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from cdk_app.constructs.identity.role import ScopedRole, via_s3
from cdk_app.constructs.once import home_of, known, objects
from cdk_app.naming import ClientNames, ServerNames

_RUN = "Named after a run, which has no name before it starts."


class KickoffRole(ScopedRole):
    """`FL-kickoff-client-job`: trusts exactly the server's notebook role, and only with the external id."""

    def __init__(
        self, scope: Construct, *, names: ClientNames, server: ServerNames, external_id: str | None
    ) -> None:
        super().__init__(
            scope,
            "KickoffRole",
            role_name=names.kickoff_role,
            # By account and name: for a role's ARN, IAM keeps its unique id, which no redeployed server has.
            assumed_by=iam.AccountPrincipal(server.account).with_conditions(
                {"ArnEquals": {"aws:PrincipalArn": server.notebook_role_arn}}
            ),
            external_ids=[external_id or names.external_id],
            # The longest that a role may hold another one (role chaining).
            max_session_duration=cdk.Duration.hours(1),
            description="Taken by the federation's server to start, watch and stop this client's job",
        )

    def allow_mailbox(self, bucket: s3.IBucket, prefix: str, key: kms.IKey) -> None:
        """Read certificates; listing makes a missing one `not found` instead of `access denied`.

        S3 asks for s3:ListBucket with the context of the GetObject, which has no s3:prefix: a condition on it
        would never hold. The bucket has nothing but certificates of this federation.
        """
        self.allow("ReadMailbox", ["s3:GetObject"], [objects(bucket, f"{prefix}/*")], why=_RUN)
        self.allow("ListMailbox", ["s3:ListBucket"], [known(bucket, "bucket_arn")])
        self.allow(
            "DecryptMailbox",
            ["kms:Decrypt"],
            [known(key, "key_arn")],
            {
                "StringEquals": {
                    **via_s3(self)["StringEquals"],
                    # With a bucket key, S3's encryption context is the bucket.
                    "kms:EncryptionContext:aws:s3:arn": known(bucket, "bucket_arn"),
                }
            },
        )

    def allow_broker(self, state_machine_name: str) -> None:
        """Start, watch and stop executions of one state machine."""
        home = home_of(self)
        machine = home.arn("states", "stateMachine", state_machine_name, ":")
        self.allow("StartBroker", ["states:StartExecution"], [machine])
        self.allow(
            "WatchAndStopBroker",
            ["states:DescribeExecution", "states:StopExecution"],
            [home.arn("states", "execution", f"{state_machine_name}:*", ":")],
            why=_RUN,
        )

    def allow_direct(
        self,
        *,
        job_prefix: str,
        execution_role_arn: str,
        limits: Mapping[str, Mapping[str, object]],
        tags: Mapping[str, Mapping[str, object]],
        request: ssm.IStringParameter,
    ) -> None:
        """Create training jobs within every limit that IAM can express; image and code are not among them."""
        job = home_of(self).arn("sagemaker", "training-job", f"{job_prefix}run-*")
        self.allow("CreateJob", ["sagemaker:CreateTrainingJob"], [job], limits, why=_RUN)
        # Asked for beside it, because the request has tags; it knows no other condition.
        self.allow("TagJob", ["sagemaker:AddTags"], [job], tags)
        self.allow("WatchAndStopJob", ["sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"], [job])
        self.allow(
            "PassExecutionRole",
            ["iam:PassRole"],
            [execution_role_arn],
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )
        self.allow("ReadRequest", ["ssm:GetParameter"], [request.parameter_arn])
