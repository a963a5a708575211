"""What a notebook may do: fetch its runtime, stop itself when idle, and what its stack adds to that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from cdk_app.constructs.identity.role import ScopedRole, via_s3
from cdk_app.constructs.network import endpoint_policy
from cdk_app.constructs.network.endpoint_policy import list_length
from cdk_app.constructs.once import home_of, known, objects

# A managed policy has 6,144 characters: 50 role ARNs of at most 101 fit, fewer with paths of their owners'.
_ROLES_PER_POLICY = 50
_ARNS_PER_POLICY = _ROLES_PER_POLICY * list_length("x" * 101)


class NotebookRole(ScopedRole):
    """The role of one notebook instance; only SageMaker can take it, and only for this account."""

    def __init__(self, scope: Construct, *, notebook_name: str, role_name: str | None = None) -> None:
        home = home_of(scope)
        notebook, self._script = (
            home.arn("sagemaker", kind, notebook_name)
            for kind in ("notebook-instance", "notebook-instance-lifecycle-config")
        )
        super().__init__(
            scope,
            "NotebookRole",
            role_name=role_name,
            description="What the federation's notebook in this account may do",
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": home.account},
                    "ArnEquals": {"aws:SourceArn": notebook},
                },
            ),
        )
        self.allow(
            "StopItselfWhenIdle",
            ["sagemaker:DescribeNotebookInstance", "sagemaker:StopNotebookInstance"],
            [notebook],
        )
        group = home.arn("logs", "log-group", "/aws/sagemaker/NotebookInstances", ":")
        self.allow(
            "OwnLogs",
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            [group, f"{group}:log-stream:{notebook_name}/*"],
            why="SageMaker names the streams of a notebook.",
        )

    def allow_objects(self, sid: str, actions: Sequence[str], bucket: s3.IBucket, pattern: str) -> None:
        """Work with some objects of one of the account's buckets, which may also be listed."""
        self.allow(
            sid,
            [f"s3:{action}" for action in actions],
            [objects(bucket, pattern)],
            why="Objects that the account's people name.",
        )
        self.allow(f"{sid}List", ["s3:ListBucket"], [known(bucket, "bucket_arn")])

    def allow_published(self, *assets: s3_assets.Asset, key_arn: str | None) -> None:
        """Fetch what its account's deployment published."""
        files = [objects(asset.bucket, known(asset, "s3_object_key")) for asset in assets]
        self.allow("Published", ["s3:GetObject"], files)
        self.allow_asset_key(key_arn, assets[0].bucket.bucket_arn, files)

    def allow_key(self, key: kms.IKey) -> None:
        """Use the data key for objects; the volume's grant is SageMaker's."""
        self.allow("DataOnS3", ["kms:Decrypt", "kms:GenerateDataKey"], [known(key, "key_arn")], via_s3(self))
        grant = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        self.allow("Volume", ["kms:CreateGrant"], [known(key, "key_arn")], grant)
        self.allow("LookAtKey", ["kms:DescribeKey"], [known(key, "key_arn")])

    def allow_own_script(self) -> None:
        """Read the start script that its stack has by now, to see whether what it installed is still that."""
        self.allow("ReadOwnScript", ["sagemaker:DescribeNotebookInstanceLifecycleConfig"], [self._script])

    def allow_registry(self, models: s3.IBucket, federation: str) -> None:
        """Register models of one federation in this account, and put there what they are served from."""
        actions = [f"sagemaker:{action}" for action in endpoint_policy.REGISTRY]
        arns = endpoint_policy.model_arns(home_of(self), federation)
        self.allow("RegisterModels", actions, arns, why="The registry numbers the versions of a model.")
        files = objects(models, "serving/*")
        self.allow(
            "ServedModels",
            ["s3:GetObject", "s3:PutObject"],
            [files],
            why="A model's folder is named after its digest.",
        )

    def allow_register(self, target_group_arn: str) -> None:
        """Put a run's server behind its load balancer, and take it away; there, and nowhere else."""
        self.allow("RegisterServer", endpoint_policy.REGISTER, [target_group_arn])

    def allow_assume(self, role_arns: Sequence[str]) -> None:
        """Take exactly these roles, in as many policies as their number needs."""
        for number, listed in enumerate(_in_policies(role_arns), start=1):
            policy = iam.ManagedPolicy(
                self,
                f"KickoffRoles{number}",
                description="The kickoff roles of the federation's clients",
                statements=[
                    iam.PolicyStatement(
                        sid="TakeKickoffRoles",
                        actions=["sts:AssumeRole"],
                        resources=listed,
                    )
                ],
            )
            self.add_managed_policy(policy)


def _in_policies(arns: Sequence[str]) -> Iterator[list[str]]:
    """Yield the ARNs of each policy, as many as it has room for."""
    listed: list[str] = []
    for arn in arns:
        if len(listed) == _ROLES_PER_POLICY or list_length(*listed, arn) > _ARNS_PER_POLICY:
            yield listed
            listed = []
        listed.append(arn)
    if listed:
        yield listed
