"""A client's buckets: data and models for its owner, code for its jobs, a mailbox for the server."""

from __future__ import annotations

from typing import Protocol

import aws_cdk as cdk
from constructs import Construct

from cdk_app.constructs.once import known
from cdk_app.constructs.storage.bucket import AccessLogBucket, PrivateBucket, name_buckets
from cdk_app.constructs.storage.keys import Keys


class OwnNames(Protocol):
    """What the buckets are called by their owner's rules; None where there are none."""

    @property
    def data(self) -> str | None: ...  # noqa: D102
    @property
    def artifacts(self) -> str | None: ...  # noqa: D102
    @property
    def code(self) -> str | None: ...  # noqa: D102
    @property
    def access_logs(self) -> str | None: ...  # noqa: D102


class ClientStorage(Construct):
    """Data in `data/train/`, models and the privacy ledger in `artifacts/`, admitted code in `code/bundles/`,
    certificates.

    Data and models are kept when the stack goes, unless both keys for deletion are turned. Code can be
    built again and certificates die with their run, so those two buckets always go.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        keys: Keys,
        mailbox_name: str,
        own_names: OwnNames,
        removal: cdk.RemovalPolicy,
    ) -> None:
        super().__init__(scope, "Storage")
        gone = cdk.RemovalPolicy.DESTROY
        logs = AccessLogBucket(self, removal=removal, name=own_names.access_logs)
        self.data = PrivateBucket(
            self, "Data", key=keys.data, access_logs=logs, removal=removal, name=own_names.data
        )
        self.artifacts = PrivateBucket(
            self, "Artifacts", key=keys.data, access_logs=logs, removal=removal, name=own_names.artifacts
        )
        self.code = PrivateBucket(
            self,
            "Code",
            key=keys.data,
            access_logs=logs,
            removal=gone,
            name=own_names.code,
            expire_days=30,
        )
        self.mailbox = PrivateBucket(
            self,
            "Mailbox",
            key=keys.operations,
            access_logs=logs,
            removal=gone,
            name=mailbox_name,
            expire_days=1,
        )
        name_buckets(
            self,
            DataBucket=(self.data, "The training data go to train/"),
            ArtifactsBucket=(
                self.artifacts,
                "Models in models/, what was spent of the privacy budget in privacy/",
            ),
            CodeBucket=(self.code, "The bundle that jobs run"),
            MailboxBucket=(self.mailbox, "Jobs leave their certificates there for the server"),
            AccessLogsBucket=(logs, "Who read and wrote what in the others"),
        )

    @property
    def bucket_arns(self) -> list[str]:
        """The buckets that this account's own principals work with."""
        return [
            known(bucket, "bucket_arn") for bucket in (self.data, self.artifacts, self.code, self.mailbox)
        ]
