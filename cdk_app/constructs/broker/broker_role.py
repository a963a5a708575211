"""What the broker may do: everything that its pinned request needs, on exactly those resources."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_app.constructs.broker.broker_states import AdmittedBundle
from cdk_app.constructs.identity.role import ScopedRole, via_s3
from cdk_app.constructs.once import home_of, known

_RUN = "A job's name ends with its run's id, which is not known before the run."
_EXECUTION = "An execution has its run's name, which is not known before the run."


class BrokerRole(ScopedRole):
    """The role of the broker's state machine; only Step Functions can take it, for this account."""

    def __init__(self, scope: Construct, construct_id: str, *, state_machine_arn: str) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Starts, watches and stops federated training jobs as the client's stack pins them",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": home_of(scope).account},
                    "ArnEquals": {"aws:SourceArn": state_machine_arn},
                },
            ),
        )

    def allow_switch(self, parameter: str) -> None:
        """Read whether this account takes part.

        The parameter is its owner's and no stack's: a deployment would put its value back.
        """
        switch = home_of(self).arn("ssm", "parameter", parameter.removeprefix("/"))
        self.allow("ReadParticipation", ["ssm:GetParameter"], [switch])

    def allow_bundle(self, bundle: AdmittedBundle, key: kms.IKey) -> None:
        """Copy the published code, and nothing else, into the code bucket."""
        partition = home_of(self).partition

        def object_arn(bucket: str, name: str) -> str:
            return f"arn:{partition}:s3:::{bucket}/{name}"

        published = object_arn(bundle.published_bucket, bundle.published_key)
        self.allow("ReadPublishedBundle", ["s3:GetObject"], [published])
        self.allow_asset_key(bundle.published_kms_key, published.partition("/")[0], [published])
        self.allow("AdmitBundle", ["s3:PutObject"], [object_arn(bundle.code_bucket, bundle.code_key)])
        self.allow(
            "EncryptBundle",
            ["kms:Decrypt", "kms:GenerateDataKey"],
            [known(key, "key_arn")],
            via_s3(self),
        )

    def allow_lock(self, table_arn: str, executions_arn: str) -> None:
        """Take the run lock, and see whether the run that has it goes on."""
        self.allow("RunLock", ["dynamodb:GetItem", "dynamodb:PutItem"], [table_arn])
        self.allow("SeeHolder", ["states:DescribeExecution"], [executions_arn], why=_EXECUTION)

    def allow_job(self, *, job_prefix: str, execution_role_arn: str) -> None:
        """Start, watch and stop jobs of this client, and pass them the execution role."""
        job = self._jobs(job_prefix)
        actions = ["AddTags", "CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob"]
        self.allow("RunJob", [f"sagemaker:{action}" for action in actions], [job], why=_RUN)
        self.allow(
            "PassExecutionRole",
            ["iam:PassRole"],
            [execution_role_arn],
            {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )

    def allow_stop(self, *, job_prefix: str) -> None:
        """Stop jobs of this client, and see that they stop."""
        actions = ["sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"]
        self.allow("StopJob", actions, [self._jobs(job_prefix)], why=_RUN)

    def allow_sweep(self, *, job_prefix: str, executions_arn: str) -> None:
        """Find jobs of this client that no execution watches, and stop them."""
        why = "ListTrainingJobs takes no resource; it tells names and states."
        self.allow("ListJobs", ["sagemaker:ListTrainingJobs"], ["*"], why=why)
        self.allow("SeeExecution", ["states:DescribeExecution"], [executions_arn], why=_EXECUTION)
        self.allow("StopJob", ["sagemaker:StopTrainingJob"], [self._jobs(job_prefix)], why=_RUN)

    def _jobs(self, job_prefix: str) -> str:
        return home_of(self).arn("sagemaker", "training-job", f"{job_prefix}run-*")
