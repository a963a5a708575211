"""What a training job may do: read data, leave model, certificate and privacy ledger, say what it does."""

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_app.constructs.identity.role import NO_RESOURCE, ScopedRole, via_s3
from cdk_app.constructs.once import home_of, known, objects
from cdk_app.constructs.storage.client_storage import ClientStorage


class ExecutionRole(ScopedRole):
    """The role of a client's training jobs; only SageMaker can take it, and only for this account's jobs."""

    def __init__(self, scope: Construct, *, job_prefix: str) -> None:
        home = home_of(scope)
        jobs = home.arn("sagemaker", "training-job", f"{job_prefix}run-*")
        super().__init__(
            scope,
            "ExecutionRole",
            description="What a federated training job may do in this account",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": home.account},
                    "ArnLike": {"aws:SourceArn": jobs},
                },
            ),
        )

    def allow_storage(self, storage: ClientStorage, *, code: str, mailbox_prefix: str) -> None:
        """Read data and one object of code, write the model, and put certificates into the mailbox."""
        data, models = objects(storage.data, "train/*"), objects(storage.artifacts, "models/*")
        letters = objects(storage.mailbox, f"{mailbox_prefix}/*")
        self.allow("ReadData", ["s3:GetObject"], [data], why="The data are whatever their owner put there.")
        train = {"StringLike": {"s3:prefix": ["train", "train/*"]}}
        self.allow("ListData", ["s3:ListBucket"], [known(storage.data, "bucket_arn")], train)
        self.allow("ReadCode", ["s3:GetObject"], [code])
        self.allow("WriteModel", ["s3:PutObject"], [models], why="SageMaker names the folder after the job.")
        self.allow(
            "WriteCertificate", ["s3:PutObject"], [letters], why="The certificate is named after the run."
        )
        self._allow_privacy_ledger(storage)

    def _allow_privacy_ledger(self, storage: ClientStorage) -> None:
        """Read the account's privacy ledger and add to it: no entry can be written again or deleted."""
        entries, why = objects(storage.artifacts, "privacy/*"), "Entries are numbered as they come."
        listed = {"StringLike": {"s3:prefix": ["privacy/*"]}}
        only_new = {"Null": {"s3:if-none-match": "false"}}
        self.allow("ListPrivacyLedger", ["s3:ListBucket"], [known(storage.artifacts, "bucket_arn")], listed)
        self.allow("ReadPrivacyLedger", ["s3:GetObject"], [entries], why=why)
        self.allow("AddToPrivacyLedger", ["s3:PutObject"], [entries], only_new, why=why)

    def allow_keys(self, *, data: kms.IKey, operations: kms.IKey) -> None:
        """Use the data key for objects and the volume, and the operations key for certificates only."""
        on_objects = ["kms:Decrypt", "kms:GenerateDataKey"]
        key = known(data, "key_arn")
        self.allow("DataOnS3", on_objects, [key], via_s3(self))
        self.allow("MailboxOnS3", on_objects, [known(operations, "key_arn")], via_s3(self))
        self.allow("Volume", ["kms:CreateGrant"], [key], {"Bool": {"kms:GrantIsForAWSResource": "true"}})
        self.allow("OutputKey", ["kms:DescribeKey", "kms:Encrypt"], [key])

    def allow_signing(self, key: kms.IKey) -> None:
        """Vouch for one run's key agreement: sign a SHA-256 digest with the account's signing key."""
        how = {"kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "DIGEST"}
        self.allow("SignKeyAgreement", ["kms:Sign"], [known(key, "key_arn")], {"StringEquals": how})

    def allow_logs(self) -> None:
        """Write the job's log, and its metrics."""
        group = home_of(self).arn("logs", "log-group", "/aws/sagemaker/TrainingJobs", ":")
        actions = ["CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"]
        self.allow(
            "JobLogs",
            [f"logs:{action}" for action in actions],
            [group, f"{group}:*"],
            why="SageMaker names a job's log stream after its host.",
        )
        self.allow(
            "JobMetrics",
            ["cloudwatch:PutMetricData"],
            ["*"],
            {"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}},
            why=NO_RESOURCE,
        )
