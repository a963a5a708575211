"""Which parameters our own services apply; any other is ignored for a reason written here, or an error.

Moto's services are called as their models allow (models.py), and tests read back what ours ask of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rehearsal.aws.errors import AwsError
from rehearsal.aws.protocol import Call

_STACK: Final = (
    "StackName TemplateBody TemplateURL UsePreviousTemplate Capabilities EnableTerminationProtection "
    "ClientRequestToken Parameters.ParameterKey Parameters.ParameterValue Parameters.UsePreviousValue "
    "Tags.Key Tags.Value ChangeSetName StackStatusFilter"
)
APPLIED: Final[Mapping[str, str]] = {
    "cloudformation": _STACK,
    "ec2:CreateVpcEndpoint": "VpcId ServiceName ServiceRegion VpcEndpointType SubnetIds SecurityGroupIds "
    "PrivateDnsEnabled",
    "ec2:DescribeVpcEndpointConnections": "Filters.Name Filters.Values",
    "ec2:AcceptVpcEndpointConnections": "ServiceId VpcEndpointIds",
    "ec2:RejectVpcEndpointConnections": "ServiceId VpcEndpointIds",
    "ec2:DeleteVpcEndpointServiceConfigurations": "ServiceIds",
    "ecr:BatchGetImage": "registryId repositoryName imageIds.imageTag imageIds.imageDigest",
    "kms:Sign": "KeyId Message MessageType SigningAlgorithm",
    "sagemaker:CreateTrainingJob": "TrainingJobName RoleArn HyperParameters Environment "
    "AlgorithmSpecification.TrainingImage InputDataConfig.ChannelName "
    "InputDataConfig.DataSource.S3DataSource.S3Uri OutputDataConfig.S3OutputPath OutputDataConfig.KmsKeyId "
    "VpcConfig.Subnets VpcConfig.SecurityGroupIds StoppingCondition.MaxRuntimeInSeconds "
    "StoppingCondition.MaxWaitTimeInSeconds EnableManagedSpotTraining",
    "sagemaker:DescribeTrainingJob": "TrainingJobName",
    "sagemaker:ListTrainingJobs": "NameContains StatusEquals MaxResults SortOrder",
    "sagemaker:StopTrainingJob": "TrainingJobName",
    "servicequotas": "ServiceCode",
    "sts:AssumeRole": "RoleArn RoleSessionName ExternalId DurationSeconds",
    "sts:GetCallerIdentity": "",
}
ONLY: Final[Mapping[str, Mapping[str, Any]]] = {
    "cloudformation": {
        "DeploymentConfig.DisableRollback": False,
        "DeploymentConfig.Mode": "STANDARD",
        "DisableRollback": False,
        "OnFailure": "ROLLBACK",
    },
    "sagemaker:CreateTrainingJob": {
        "AlgorithmSpecification.TrainingInputMode": "File",
        "EnableNetworkIsolation": False,
        "InputDataConfig.CompressionType": "None",
        "InputDataConfig.DataSource.S3DataSource.S3DataDistributionType": "FullyReplicated",
        "InputDataConfig.DataSource.S3DataSource.S3DataType": "S3Prefix",
        "InputDataConfig.InputMode": "File",
        "InputDataConfig.RecordWrapperType": "None",
        "OutputDataConfig.CompressionType": "GZIP",
        "ProfilerConfig.DisableProfiler": True,
        "RemoteDebugConfig.EnableRemoteDebug": False,
        "ResourceConfig.InstanceCount": 1,
    },
}
"""Parameters that are taken with the one value that says what happens here anyway."""
IGNORED: Final[Mapping[str, Mapping[str, str]]] = {
    "cloudformation": {
        "ChangeSetType": "whether there is a stack already says it",
        "ClientToken": "a change set's name tells a repeated request",
        "Description": "nobody reads a change set's description here",
        "ImportExistingResources": "a resource that is there already is an error here",
        "IncludeNestedStacks": "there are no nested stacks here",
        "IncludePropertyValues": "a change is described without its values",
        "RoleARN": "CloudFormation works as an administrator here",
        "TemplateStage": "no template is transformed here",
    },
    "ecr:BatchGetImage": {"acceptedMediaTypes": "an image has one manifest here"},
    "sagemaker:CreateTrainingJob": {
        "EnableInterContainerTrafficEncryption": "there is one container, and no traffic between any",
        "InputDataConfig.ContentType": "it is told to the container's algorithm, and a script reads none",
        "ResourceConfig.InstanceType": "every job runs on this machine",
        "ResourceConfig.VolumeKmsKeyId": "nothing is encrypted on this machine's disk",
        "ResourceConfig.VolumeSizeInGB": "a job has this machine's disk",
        "Tags": "they decide whether a job may be made, and nobody reads them afterwards",
    },
}


def check(call: Call) -> None:
    """Raise ValidationException for a parameter that a service of ours would pass over."""
    keys = (f"{call.service}:{call.operation}", call.service)
    key = next((key for key in keys if key in APPLIED), None)
    if key is None:
        raise AwsError("NotImplemented", f"The rehearsal has no {keys[0]}.", 501)
    known, fixed = {*APPLIED[key].split(), *IGNORED.get(key, {})}, ONLY.get(key, {})
    for path, value in _leaves(call.parameters, ""):
        if path in fixed and value == fixed[path]:
            continue
        if not any(path == name or path.startswith(f"{name}.") for name in known):
            only = f", but for {fixed[path]!r}" if path in fixed else ""
            message = f"The rehearsal does not apply {path}, value: {value!r}, of {call.operation}{only}."
            raise AwsError("ValidationException", message)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield each value with its path, in which a list has no step; what is empty asks for nothing."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    elif value is not None:
        yield path, value
