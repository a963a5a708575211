"""A request has what its API's model allows, and of our own services' only what they apply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest

from rehearsal.aws import models, parameters, tasks
from rehearsal.aws.errors import AwsError
from rehearsal.aws.principals import Principal
from rehearsal.aws.protocol import _MODELS, Call

SESSION = botocore.session.get_session()
JOB = {
    "TrainingJobName": "run-1",
    "AlgorithmSpecification": {"TrainingImage": "1", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/job",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def operation(service: str, name: str) -> Any:
    return SESSION.get_service_model(service).operation_model(name)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The job with another value at a path."""
    job: dict[str, Any] = json.loads(json.dumps(JOB))
    *parents, last = path.split(".")
    target = job
    for parent in parents:
        target = target.setdefault(parent, {})
    target[last] = value
    return job


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("NoSuchParameter", 1, "Unknown parameter"),
        ("ResourceConfig.Colour", 1, "Unknown parameter in ResourceConfig"),
        ("TrainingJobName", "-x", "must satisfy"),
        ("TrainingJobName", "x" * 64, "max is 63"),
        ("RoleArn", "nobody", "must satisfy"),
        ("ResourceConfig.InstanceType", "ml.none", "must be one of"),
        ("ResourceConfig.InstanceCount", "1", "Invalid type"),
        ("ResourceConfig.InstanceCount", -1, "min value"),
        ("HyperParameters", {"x" * 257: "1"}, "max is 256"),
        ("Environment", {"a b": "1"}, "must satisfy"),
    ],
)
def test_a_request_is_held_to_its_model(path: str, value: Any, fault: str) -> None:
    model = operation("sagemaker", "CreateTrainingJob")
    models.check(model, JOB)
    with pytest.raises(AwsError, match=fault):
        models.check(model, changed(path, value))


@pytest.mark.parametrize(
    ("service", "name", "body", "extra"),
    [
        ("ssm", "GetParameter", '{"Name": "/x", "Nope": 1}', ["Nope"]),
        ("ssm", "PutParameter", '{"Tags": [{"Key": "a", "Colour": 1}]}', ["Colour"]),
        ("ec2", "CreateVpc", "Action=CreateVpc&Version=1&CidrBlock=10.0.0.0/16&Nope=1", ["Nope"]),
        ("iam", "CreateUser", "Action=CreateUser&Version=1&UserName=u&Path=/", []),
    ],
)
def test_names_that_an_api_does_not_have_are_found_in_a_body(
    service: str, name: str, body: str, extra: list[str]
) -> None:
    parsed = {"CidrBlock": "10.0.0.0/16"} if service == "ec2" else {"UserName": "u", "Path": "/"}
    assert models.unknown(operation(service, name), parsed, body.encode()) == extra


def call(service: str, name: str, **given: Any) -> Call:
    return Call(service, name, given, "eu-west-1", Principal("123456789012", "arn:someone"))


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (call("sts", "AssumeRole", RoleArn="r", RoleSessionName="s", Policy="{}"), "Policy"),
        (call("cloudformation", "CreateStack", StackName="s", TimeoutInMinutes=5), "TimeoutInMinutes"),
        (call("cloudformation", "CreateStack", StackName="s", OnFailure="DELETE"), "but for 'ROLLBACK'"),
        (call("cloudformation", "DeleteStack", StackName="s", RetainResources=["a"]), "RetainResources"),
        (call("kms", "Sign", KeyId="k", DryRun=True), "DryRun"),
        (call("sagemaker", "CreateTrainingJob", **changed("CheckpointConfig.S3Uri", "s3://x")), "Checkpoint"),
        (call("sagemaker", "CreateTrainingJob", **changed("ResourceConfig.InstanceCount", 2)), "but for 1"),
        (
            call("sagemaker", "CreateTrainingJob", **changed("RetryStrategy", {"MaximumRetryAttempts": 2})),
            "Re",
        ),
        (call("sagemaker", "ListTrainingJobs", SortBy="Name"), "SortBy"),
    ],
)
def test_what_our_services_do_not_apply_is_refused_by_name(asked: Call, named: str) -> None:
    with pytest.raises(AwsError, match=named):
        parameters.check(asked)


def test_what_they_apply_or_ignore_for_a_reason_is_taken() -> None:
    parameters.check(call("cloudformation", "DescribeStacks"))
    parameters.check(call("sagemaker", "CreateTrainingJob", **JOB))
    parameters.check(call("cloudformation", "CreateStack", StackName="s", RoleARN="r", OnFailure="ROLLBACK"))


def test_an_operation_without_a_list_is_refused() -> None:
    with pytest.raises(AwsError, match="no kms:Verify"):
        parameters.check(call("kms", "Verify"))


def test_the_listed_parameters_are_the_api_s_and_what_is_ignored_has_a_reason() -> None:
    assert {*parameters.ONLY, *parameters.IGNORED} <= {*parameters.APPLIED}
    for key, names in parameters.APPLIED.items():
        service, _, name = key.partition(":")
        model = SESSION.get_service_model(_MODELS.get(service, service))
        shapes = [model.operation_model(o).input_shape for o in ([name] if name else model.operation_names)]
        known = {member for shape in shapes if shape for member in shape.members}
        listed = [*names.split(), *parameters.ONLY.get(key, {}), *parameters.IGNORED.get(key, {})]
        assert {path.partition(".")[0] for path in listed} <= known
    reasons = [why for table in parameters.IGNORED.values() for why in table.values()]
    assert all(len(why.split()) >= 4 for why in reasons)


def test_a_task_has_step_functions_spelling_of_the_api_s_fields() -> None:
    listing = tasks.operation("sfn", "listExecutions")
    assert tasks.request(listing.input_shape, {"StateMachineArn": "arn"}) == {"stateMachineArn": "arn"}
    answer = {"executions": [{"executionArn": "arn"}], "ResponseMetadata": {}}
    assert tasks.answer(listing.output_shape, answer) == {"Executions": [{"ExecutionArn": "arn"}]}
    job = tasks.operation("sagemaker", "createTrainingJob").input_shape
    assert tasks.request(job, JOB) == JOB
    item = {"Item": {"a": {"Ss": ["x"]}, "b": {"Bool": True}, "c": {"Nul": True}}}
    spelled = tasks.request(tasks.operation("dynamodb", "putItem").input_shape, item)
    assert spelled == {"Item": {"a": {"SS": ["x"]}, "b": {"BOOL": True}, "c": {"NULL": True}}}


@pytest.mark.parametrize(
    ("resource", "fields", "fault"),
    [
        ("aws-sdk:sfn:listExecutions", {"stateMachineArn": "arn"}, "'stateMachineArn' is not supported"),
        ("aws-sdk:sagemaker:stopTrainingJob", {"TrainingJobname": "x"}, "'TrainingJobname' is not supported"),
        ("aws-sdk:sagemaker:createTrainingJob", changed("ResourceConfig.Size", 1), "'Size' is not supported"),
        ("aws-sdk:sagemaker:stopTrainingJob", {"TrainingJobNam.$": "$.x"}, "'TrainingJobNam' is not supp"),
        ("aws-sdk:sagemaker:startTrainingJob", {}, "no sagemaker:startTrainingJob"),
        ("aws-sdk:sagemake:stopTrainingJob", {}, "no sagemake:stopTrainingJob"),
        ("lambda:invoke", {}, "has no task"),
    ],
)
@pytest.mark.parametrize("inside", ["States", "Branches"])
def test_a_definition_with_a_task_that_aws_would_refuse_is_refused(
    resource: str, fields: Mapping[str, Any], fault: str, inside: str
) -> None:
    task = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Arguments": fields, "End": True}
    states = {"StartAt": "A", "States": {"A": task}}
    parallel = {"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": [states], "End": True}}}
    with pytest.raises(AwsError, match=fault):
        tasks.check_definition(json.dumps(states if inside == "States" else parallel))
