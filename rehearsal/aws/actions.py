"""Which IAM actions an API call needs, on which resources, with which condition keys.

Source: Service Authorization Reference, the page of each service. A call that is not listed needs the
action of its own name on "*", so that only an administrator gets through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdk_app.regions import partition
from rehearsal.aws import keys_of_s3, kms
from rehearsal.aws.authorization import bucket_account
from rehearsal.aws.policy import Request
from rehearsal.aws.protocol import Call

_PREFIXES: Final = {"monitoring": "cloudwatch"}


@dataclass(frozen=True)
class RequiredPermission:
    """One permission that a call needs, and whose resource it is about."""

    request: Request
    account: str


def needs(call: Call) -> Iterator[RequiredPermission]:
    """Yield every permission that a call needs."""
    if call.service == "s3":
        yield from _s3(call)
        return
    if call.service == "sts":
        return  # AssumeRole is decided with the trust policy, GetCallerIdentity needs nothing
    action = f"{_PREFIXES.get(call.service, call.service)}:{call.operation}"
    find = _RESOURCES.get((call.service, call.operation)) or _RESOURCES.get((call.service, "*"))
    for resource, context in find(call) if find else [("*", {})]:
        yield RequiredPermission(Request(action, resource, context), _owner(call, resource))
    yield from _passed_roles(call)
    if call.service == "sagemaker" and call.operation == "CreateTrainingJob" and call.parameters.get("Tags"):
        job, context = next(_training_job(call))
        yield RequiredPermission(Request("sagemaker:AddTags", job, context), call.principal.account)


def _owner(call: Call, resource: str) -> str:
    """Return whose a resource is: an ARN says it, which may be another account's."""
    return resource.split(":")[4] if resource.startswith("arn:") else call.principal.account


def _arn(call: Call, rest: str) -> str:
    return f"arn:{partition(call.region)}:{call.service}:{call.region}:{call.principal.account}:{rest}"


def _s3(call: Call) -> Iterator[RequiredPermission]:
    """Yield what S3 itself asks for, and what it asks of KMS in the caller's name."""
    bucket, key = call.parameters["Bucket"], call.parameters["Key"]
    if not bucket:
        yield RequiredPermission(Request("s3:ListAllMyBuckets", "*", {}), call.principal.account)
        return
    account = bucket_account(bucket) or call.principal.account
    action = keys_of_s3.action(call.operation, call.parameters)
    prefix = call.parameters["Query"].get("prefix")
    context = {"s3:prefix": prefix} if prefix is not None and not key else {}
    if action == "s3:PutObject" and (wanted := call.parameters["IfNoneMatch"]) is not None:
        context["s3:if-none-match"] = wanted
    s3 = f"arn:{partition(call.region)}:s3:::"
    resource = f"{s3}{bucket}" + (f"/{key}" if key else "")
    yield RequiredPermission(Request(action, resource, context), account)
    if action == "s3:GetObject" and keys_of_s3.is_missing(bucket, key):
        yield RequiredPermission(Request("s3:ListBucket", f"{s3}{bucket}", {}), account)
        return
    if source := call.parameters["CopySource"]:
        from_bucket, _, from_key = source.partition("?")[0].partition("/")
        owner = bucket_account(from_bucket) or call.principal.account
        yield RequiredPermission(Request("s3:GetObject", f"{s3}{from_bucket}/{from_key}", {}), owner)
        yield from keys_of_s3.needs(call, from_bucket, "s3:GetObject", RequiredPermission)
    yield from keys_of_s3.needs(call, bucket, action, RequiredPermission)


def _passed_roles(call: Call) -> Iterator[RequiredPermission]:
    """Yield iam:PassRole for every role that a call hands to a service (IAM User Guide, "PassRole")."""
    passed = {
        ("sagemaker", "CreateTrainingJob"): ("RoleArn", "sagemaker.amazonaws.com"),
        ("sagemaker", "CreateNotebookInstance"): ("RoleArn", "sagemaker.amazonaws.com"),
        ("states", "CreateStateMachine"): ("roleArn", "states.amazonaws.com"),
        ("states", "UpdateStateMachine"): ("roleArn", "states.amazonaws.com"),
        ("cloudformation", "CreateStack"): ("RoleARN", "cloudformation.amazonaws.com"),
        ("cloudformation", "UpdateStack"): ("RoleARN", "cloudformation.amazonaws.com"),
        ("cloudformation", "DeleteStack"): ("RoleARN", "cloudformation.amazonaws.com"),
    }
    name, service = passed.get((call.service, call.operation), ("", ""))
    if role := call.parameters.get(name):
        request = Request("iam:PassRole", role, {"iam:PassedToService": service})
        yield RequiredPermission(request, role.split(":")[4])


Found = Iterator[tuple[str, Mapping[str, Any]]]


def _training_job(call: Call) -> Found:
    asked = call.parameters
    context: dict[str, Any] = {}
    if call.operation == "CreateTrainingJob":
        resources, network = asked.get("ResourceConfig", {}), asked.get("VpcConfig") or {}
        context = {
            "sagemaker:InstanceTypes": [resources.get("InstanceType")],
            "sagemaker:VolumeKmsKey": resources.get("VolumeKmsKeyId"),
            "sagemaker:OutputKmsKey": asked.get("OutputDataConfig", {}).get("KmsKeyId"),
            "sagemaker:KeepAlivePeriod": resources.get("KeepAlivePeriodInSeconds"),
            "sagemaker:VpcSubnets": network.get("Subnets"),
            "sagemaker:VpcSecurityGroupIds": network.get("SecurityGroupIds"),
            "sagemaker:MaxRuntimeInSeconds": asked.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
            "sagemaker:NetworkIsolation": asked.get("EnableNetworkIsolation", False),
            "sagemaker:InterContainerTrafficEncryption": asked.get(
                "EnableInterContainerTrafficEncryption", False
            ),
            "sagemaker:EnableRemoteDebug": (asked.get("RemoteDebugConfig") or {}).get(
                "EnableRemoteDebug", False
            ),
            "sagemaker:FileSystemId": _file_system(asked),
            **_tags(asked.get("Tags") or []),
        }
    yield (
        _arn(call, f"training-job/{asked.get('TrainingJobName', '*')}"),
        {key: value for key, value in context.items() if value is not None},
    )


def _model_package(call: Call) -> Found:
    """Yield the group and the version that is made in it (Service Authorization Reference, SageMaker)."""
    group = call.parameters.get("ModelPackageGroupName", "*")
    yield _arn(call, f"model-package-group/{group}"), {}
    yield _arn(call, f"model-package/{group}/*"), {}


def _file_system(asked: Mapping[str, Any]) -> str | None:
    sources = [channel["DataSource"] for channel in asked.get("InputDataConfig") or []]
    return next(
        (s["FileSystemDataSource"]["FileSystemId"] for s in sources if "FileSystemDataSource" in s), None
    )


def _tags(tags: list[Mapping[str, str]]) -> dict[str, Any]:
    if not tags:
        return {}
    return {f"aws:RequestTag/{t['Key']}": t["Value"] for t in tags} | {
        "aws:TagKeys": [t["Key"] for t in tags]
    }


def _accepted_peering(call: Call) -> Found:
    """AcceptVpcPeeringConnection is decided twice: on the accepter's VPC, and on the peering."""
    from moto.ec2.models import ec2_backends

    here = ec2_backends[call.principal.account][call.region]
    peering = here.get_vpc_peering_connection(call.parameters["VpcPeeringConnectionId"])
    accepter, requester = (
        f"arn:{partition(vpc.region)}:ec2:{vpc.region}:{vpc.owner_id}:vpc/{vpc.id}"
        for vpc in (peering.peer_vpc, peering.vpc)
    )
    yield accepter, {}
    context = {"ec2:AccepterVpc": accepter, "ec2:RequesterVpc": requester}
    yield _arn(call, f"vpc-peering-connection/{peering.id}"), context


def _given(name: str) -> Callable[[Call], Found]:
    """Return a finder of a resource that a parameter names by its ARN."""
    return lambda call: iter([(str(call.parameters.get(name, "*")), {})])


def _named(kind: str, name: str) -> Callable[[Call], Found]:
    """Return a finder of a resource that a parameter names."""
    return lambda call: iter([(_arn(call, f"{kind}{call.parameters.get(name, '*')}"), {})])


def _ssm(call: Call) -> Found:
    yield _arn(call, f"parameter/{str(call.parameters.get('Name', '*')).lstrip('/')}"), {}


def _stack(call: Call) -> Found:
    name = str(call.parameters.get("StackName") or "*")
    yield (
        (name if name.startswith("arn:") else _arn(call, f"stack/{name}/{'*' if name == '*' else 'id'}")),
        {},
    )


def _log_stream(call: Call) -> Found:
    group, stream = call.parameters.get("logGroupName", "*"), call.parameters.get("logStreamName", "")
    yield _arn(call, f"log-group:{group}:log-stream:{stream}"), {}


def _metric(call: Call) -> Found:
    yield "*", {"cloudwatch:namespace": call.parameters.get("Namespace", "")}


_RESOURCES: Final[Mapping[tuple[str, str], Callable[[Call], Found]]] = {
    ("cloudformation", "*"): _stack,
    ("dynamodb", "*"): _named("table/", "TableName"),
    ("ec2", "AcceptVpcPeeringConnection"): _accepted_peering,
    ("elasticloadbalancing", "RegisterTargets"): _given("TargetGroupArn"),
    ("elasticloadbalancing", "DeregisterTargets"): _given("TargetGroupArn"),
    ("kms", "*"): kms.needs,
    ("logs", "*"): _log_stream,
    ("monitoring", "PutMetricData"): _metric,
    ("sagemaker", "CreateTrainingJob"): _training_job,
    ("sagemaker", "DescribeTrainingJob"): _training_job,
    ("sagemaker", "StopTrainingJob"): _training_job,
    ("sagemaker", "DescribeNotebookInstance"): _named("notebook-instance/", "NotebookInstanceName"),
    ("sagemaker", "DescribeNotebookInstanceLifecycleConfig"): _named(
        "notebook-instance-lifecycle-config/", "NotebookInstanceLifecycleConfigName"
    ),
    ("sagemaker", "StopNotebookInstance"): _named("notebook-instance/", "NotebookInstanceName"),
    ("sagemaker", "CreateModelPackageGroup"): _named("model-package-group/", "ModelPackageGroupName"),
    ("sagemaker", "DescribeModelPackageGroup"): _named("model-package-group/", "ModelPackageGroupName"),
    ("sagemaker", "ListModelPackages"): _named("model-package-group/", "ModelPackageGroupName"),
    ("sagemaker", "CreateModelPackage"): _model_package,
    ("ssm", "GetParameter"): _ssm,
    ("ssm", "PutParameter"): _ssm,
    ("states", "StartExecution"): _given("stateMachineArn"),
    ("states", "DescribeExecution"): _given("executionArn"),
    ("states", "StopExecution"): _given("executionArn"),
}
