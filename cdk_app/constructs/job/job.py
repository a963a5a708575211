"""The training job of one client, pinned whole: what SageMaker is asked for, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cdk_app.images import has_gpu
from runtime.contract import JobOption

SPOT_PATIENCE_SECONDS: Final = 3600
"""How much longer than it may run a spot job may take, waiting for capacity included."""


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """Everything of a CreateTrainingJob request but the name and the server's invitation."""

    image: str
    role_arn: str
    client_name: str
    data_uri: str
    artifact_uri: str
    code_uri: str
    bundle: str
    mailbox_uri: str
    privacy: Mapping[str, str]
    key_arn: str
    subnet_ids: Sequence[str]
    group_id: str
    instance_type: str
    volume_gb: int
    max_runtime_seconds: int
    spot: bool
    region: str
    tags: Mapping[str, str]
    link_host: str | None = None

    @property
    def wait_seconds(self) -> int:
        """How long the job may take from its creation."""
        return self.max_runtime_seconds + (SPOT_PATIENCE_SECONDS if self.spot else 0)

    @property
    def has_own_disks(self) -> bool:
        """Whether data lie on the instance's own disks, which its hardware encrypts; no key can be given."""
        return has_gpu(self.instance_type)

    def pinned_hyperparameters(self) -> dict[str, str]:
        """Return the options that the client's own stack decides, and what script mode needs."""
        return {
            "sagemaker_program": "client.py",
            "sagemaker_submit_directory": self.code_uri,
            "sagemaker_region": self.region,
            JobOption.CLIENT_NAME.value: self.client_name,
            JobOption.MAILBOX.value: self.mailbox_uri,
            JobOption.BUNDLE.value: self.bundle,
            JobOption.RUN_SECONDS.value: str(self.max_runtime_seconds),
            **({} if self.link_host is None else {JobOption.LINK_HOST.value: self.link_host}),
            **{str(option): value for option, value in self.privacy.items()},
        }

    def parameters(self) -> dict[str, Any]:
        """Return the request as the CreateTrainingJob API takes it."""
        stop = {"MaxRuntimeInSeconds": self.max_runtime_seconds}
        if self.spot:
            stop["MaxWaitTimeInSeconds"] = self.wait_seconds
        return {
            "AlgorithmSpecification": {"TrainingImage": self.image, "TrainingInputMode": "File"},
            "RoleArn": self.role_arn,
            "InputDataConfig": [
                {
                    "ChannelName": "train",
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": self.data_uri,
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
            ],
            "OutputDataConfig": {"S3OutputPath": self.artifact_uri, "KmsKeyId": self.key_arn},
            "ResourceConfig": {
                "InstanceType": self.instance_type,
                "InstanceCount": 1,
                "VolumeSizeInGB": self.volume_gb,
                **({} if self.has_own_disks else {"VolumeKmsKeyId": self.key_arn}),
            },
            # SageMaker sets AWS_REGION alone, which boto3 does not read: it would go to global endpoints.
            "Environment": {"AWS_DEFAULT_REGION": self.region},
            "VpcConfig": {"Subnets": list(self.subnet_ids), "SecurityGroupIds": [self.group_id]},
            "StoppingCondition": stop,
            "EnableManagedSpotTraining": self.spot,
            "EnableInterContainerTrafficEncryption": True,
            # Isolation would forbid the link; the subnets have no way out but it.
            "EnableNetworkIsolation": False,
            "ProfilerConfig": {"DisableProfiler": True},
            "RemoteDebugConfig": {"EnableRemoteDebug": False},
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
        }

    def iam_tags(self) -> dict[str, dict[str, object]]:
        """Return the request's tags as an IAM condition."""
        return {"StringEquals": {f"aws:RequestTag/{key}": value for key, value in self.tags.items()}}

    def iam_limits(self) -> dict[str, dict[str, object]]:
        """Return the same request as far as IAM has condition keys for it (direct kickoff)."""
        lists: dict[str, object] = {
            "sagemaker:InstanceTypes": [self.instance_type],
            "sagemaker:VpcSubnets": list(self.subnet_ids),
            "sagemaker:VpcSecurityGroupIds": [self.group_id],
        }
        return {
            "ArnEquals": {
                "sagemaker:OutputKmsKey": self.key_arn,
                **({} if self.has_own_disks else {"sagemaker:VolumeKmsKey": self.key_arn}),
            },
            "ForAllValues:StringEquals": lists,
            **self.iam_tags(),
            # ForAllValues is true of nothing at all, so each list must be there; file systems must not.
            "Null": {**dict.fromkeys(lists, "false"), "sagemaker:FileSystemId": "true"},
            "NumericLessThanEquals": {"sagemaker:MaxRuntimeInSeconds": str(self.max_runtime_seconds)},
            "NumericEqualsIfExists": {"sagemaker:KeepAlivePeriod": "0"},
            "Bool": {
                "sagemaker:EnableRemoteDebug": "false",
                "sagemaker:InterContainerTrafficEncryption": "true",
                "sagemaker:NetworkIsolation": "false",
            },
        }
