"""What a served model may do: be loaded, score rows of its own account, say what it does."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_app.constructs.identity.role import ScopedRole, via_s3
from cdk_app.constructs.once import home_of


class ServingRole(ScopedRole):
    """The role of a served model; only SageMaker can take it, and only for this account."""

    def __init__(self, scope: Construct) -> None:
        home = home_of(scope)
        super().__init__(
            scope,
            "ServingRole",
            description="What a served model may do in this account",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": home.account},
                    # SageMaker names the endpoint, the transform job or the model, whichever asks.
                    "ArnLike": {
                        "aws:SourceArn": f"arn:{home.partition}:sagemaker:{home.region}:{home.account}:*"
                    },
                },
            ),
        )

    def allow_models(self, bucket: s3.IBucket, key: kms.IKey) -> None:
        """Load what was registered, and nothing else of its bucket."""
        models = bucket.arn_for_objects("serving/*")
        self.allow("LoadModel", ["s3:GetObject"], [models], why="A model's folder is named after its digest.")
        self.allow("DataOnS3", ["kms:Decrypt", "kms:GenerateDataKey"], [key.key_arn], via_s3(self))
        grant = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        self.allow("Volume", ["kms:CreateGrant"], [key.key_arn], grant)
        self.allow("LookAtKey", ["kms:DescribeKey"], [key.key_arn])

    def allow_rows(self, rows: s3.IBucket, scores: s3.IBucket) -> None:
        """Read the rows of a batch, and write their scores."""
        why = "Objects that the account's people name."
        self.allow("ReadRows", ["s3:GetObject"], [rows.arn_for_objects("predict/*")], why=why)
        listed = {"StringLike": {"s3:prefix": ["predict", "predict/*"]}}
        self.allow("ListRows", ["s3:ListBucket"], [rows.bucket_arn], listed)
        self.allow("WriteScores", ["s3:PutObject"], [scores.arn_for_objects("predictions/*")], why=why)

    def allow_logs(self, group: str) -> None:
        """Write the container's log."""
        arn = cdk.Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=group,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        actions = ["CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"]
        why = "SageMaker names the log streams of a container."
        self.allow("ServingLogs", [f"logs:{action}" for action in actions], [arn, f"{arn}:*"], why=why)
