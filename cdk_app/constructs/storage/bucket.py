"""Private buckets: encrypted, TLS only, versioned, never public, and every access is logged."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_app.checks import acknowledge
from cdk_app.constructs.once import anybody, days, known, never_public, objects


class AccessLogBucket(s3.Bucket):
    """Where the account's other buckets write who read what."""

    def __init__(self, scope: Construct, *, removal: cdk.RemovalPolicy, name: str | None = None) -> None:
        super().__init__(
            scope,
            "AccessLogs",
            bucket_name=name,
            # Not KMS: S3 cannot deliver access logs to a bucket whose default encryption is SSE-KMS.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=never_public(),
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=days(365), noncurrent_version_expiration=days(30))],
            removal_policy=removal,
        )
        acknowledge(self, {"S1": "This bucket is where access logs go; logging itself would never end."})


class PrivateBucket(s3.Bucket):
    """One bucket of an account, under a key of the account's own.

    Parameters
    ----------
    key
        Which KMS key encrypts it.
    access_logs
        Where its accesses are logged, under the bucket's own id.
    removal
        What becomes of it with the stack; the two keys for deletion are turned into this by the stack.
    name
        A physical name, for a bucket that another account must find or whose owner has rules for names; else
        CloudFormation makes one.
    expire_days
        After how many days an object goes, for what is not worth keeping.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        key: kms.IKey,
        access_logs: s3.IBucket,
        removal: cdk.RemovalPolicy,
        name: str | None = None,
        expire_days: int | None = None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            bucket_name=name,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            block_public_access=never_public(),
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            server_access_logs_bucket=access_logs,
            server_access_logs_prefix=f"{construct_id.lower()}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=days(7),
                    expiration=days(expire_days) if expire_days else None,
                    noncurrent_version_expiration=days(expire_days or 90),
                )
            ],
            removal_policy=removal,
        )

    def only_writer(self, role_arn: str) -> None:
        """Refuse objects from everybody but one role, administrators of the account included."""
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OnlyWriter",
                effect=iam.Effect.DENY,
                principals=[anybody()],
                actions=["s3:PutObject"],
                resources=[objects(self, "*")],
                conditions={"ArnNotEquals": {"aws:PrincipalArn": role_arn}},
            )
        )


def name_buckets(scope: Construct, **buckets: tuple[s3.IBucket, str]) -> None:
    """Let the stack's outputs say what each bucket is called, and what it is for."""
    stack = cdk.Stack.of(scope)
    for output, (bucket, purpose) in buckets.items():
        cdk.CfnOutput(stack, output, value=known(bucket, "bucket_name"), description=purpose)
