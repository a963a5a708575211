"""A registered model served in its account: off by default, least privilege, only once there is one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from assembly import NORTH, SERVER, WEST, Assembly, Template, example, of_type, one
from iam_statements import statements
from moto_stack import ACCOUNT, REGION, a, empty_stack
from template_changes import Change, broken, put, resource, statement, without

from cdk_app.config.load import ConfigError, parse
from cdk_app.review.review import review
from rehearsal.aws.cloudformation import template as rehearsed
from rehearsal.aws.cloudformation.stack import Stack

EXPECTED = Path(__file__).parent / "iam_expected"
EAST = "cms-client-east-555555555555-eu-west-1"
ROLE = "ServingServingRoleAEA4D6E1"
KINDS = ("SageMaker::Model", "SageMaker::EndpointConfig", "SageMaker::Endpoint")


def test_nothing_is_served_unless_an_account_s_owner_says_so(templates: dict[str, Template]) -> None:
    for template in templates.values():
        assert not [key for key in template["Resources"] if key.startswith("Serving")]
        assert "ModelVersion" not in template.get("Parameters", {})
        assert "Conditions" not in template


@pytest.mark.parametrize(("stack", "file"), [(WEST, "serving_endpoint"), (EAST, "serving_batch")])
def test_the_role_of_a_served_model_has_exactly_these_statements(
    other: Assembly, stack: str, file: str
) -> None:
    assert statements(other.templates[stack])[ROLE] == json.loads((EXPECTED / f"{file}.json").read_text())


def test_an_endpoint_is_serverless_and_encrypted_with_the_account_s_own_key(other: Assembly) -> None:
    """Serverless inference takes neither a VPC configuration nor network isolation."""
    template = other.templates[WEST]
    model, config = one(template, "SageMaker::Model"), one(template, "SageMaker::EndpointConfig")
    assert set(model) == {"ExecutionRoleArn", "PrimaryContainer", "Tags"}
    (variant,) = config["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MaxConcurrency": 5, "MemorySizeInMB": 2048}
    assert config["KmsKeyId"]["Fn::GetAtt"][0].startswith("KeysData")
    assert one(template, "SageMaker::Endpoint")["EndpointName"] == "cms-west"


@pytest.mark.parametrize("stack", [EAST, SERVER])
def test_a_batch_s_model_is_isolated_in_the_account_s_own_subnets(other: Assembly, stack: str) -> None:
    template = other.templates[stack]
    model = one(template, "SageMaker::Model")
    assert model["EnableNetworkIsolation"] is True
    assert {subnet["Ref"] for subnet in model["VpcConfig"]["Subnets"]} == set(
        of_type(template, "EC2::Subnet")
    )
    (group,) = model["VpcConfig"]["SecurityGroupIds"]
    rules = template["Resources"][group["Fn::GetAtt"][0]]["Properties"]
    assert "SecurityGroupIngress" not in rules
    assert [(rule["CidrIp"], rule["FromPort"]) for rule in rules["SecurityGroupEgress"]] == [
        ("0.0.0.0/0", 443)
    ]
    assert not of_type(template, "SageMaker::Endpoint")


@pytest.mark.parametrize("stack", [WEST, EAST, SERVER])
def test_what_is_served_is_a_version_of_the_account_s_own_registry(other: Assembly, stack: str) -> None:
    """A package of the registry, which SageMaker serves only once it is approved; never a file as such."""
    container = one(other.templates[stack], "SageMaker::Model")["PrimaryContainer"]
    account = stack.split("-")[-4]
    own = f"arn:aws:sagemaker:eu-west-1:{account}:model-package/fedstack-cms/"
    assert container == {"ModelPackageName": {"Fn::Join": ["", [own, {"Ref": "ModelVersion"}]]}}


def test_another_kind_of_inference_is_refused_by_its_account() -> None:
    data = example()
    data["clients"][0]["inference"] = "real-time"
    data["server"]["inference"] = True
    with pytest.raises(ConfigError) as error:
        parse(data)
    said = str(error.value)
    assert said.startswith("federation has 2 problems")
    assert "client 'north'" in said
    assert "'serverless' or 'batch'" in said


@pytest.fixture
def stack() -> Iterator[Stack]:
    with empty_stack() as stack:
        yield stack


def served(template: Template, version: str) -> rehearsed.Template:
    """The model, configuration and endpoint of a template, with the role and the key that they name."""
    resources = {
        key: {**body, "DependsOn": []}
        for key, body in template["Resources"].items()
        if body["Type"][5:] in KINDS
    }
    around: dict[str, Any] = {
        ROLE: a("IAM::Role", AssumeRolePolicyDocument={"Version": "2012-10-17", "Statement": []}),
        "KeysDataA2F7C5E6": a("KMS::Key", KeyPolicy={"Version": "2012-10-17", "Statement": []}),
    }
    body = {
        "Parameters": {"ModelVersion": template["Parameters"]["ModelVersion"]},
        "Conditions": template["Conditions"],
        "Resources": {**resources, **around},
    }
    pseudo = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT}
    return rehearsed.Template(json.dumps(body), {"ModelVersion": version}, pseudo, str, str)


def test_an_endpoint_comes_with_the_first_version_changes_with_the_next_and_goes_again(
    other: Assembly, stack: Stack
) -> None:
    template, sagemaker = other.templates[WEST], stack.clients.get("sagemaker")
    stack.create(served(template, ""))
    assert stack.status == "CREATE_COMPLETE", stack.reason
    assert sagemaker.list_models()["Models"] == sagemaker.list_endpoints()["Endpoints"] == []
    for version in ("1", "2"):
        stack.update(served(template, version))
        assert stack.status == "UPDATE_COMPLETE", stack.reason
        config = sagemaker.describe_endpoint(EndpointName="cms-west")["EndpointConfigName"]
        (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        model = sagemaker.describe_model(ModelName=variant["ModelName"])
        assert model["PrimaryContainer"]["ModelPackageName"].endswith(
            f":model-package/fedstack-cms/{version}"
        )
    stack.update(served(template, ""))
    assert stack.status == "UPDATE_COMPLETE", stack.reason
    assert sagemaker.list_models()["Models"] == sagemaker.list_endpoints()["Endpoints"] == []


@pytest.mark.parametrize("version", ["0", "latest", "1/../2", " 1", "1234567"])
def test_a_version_that_is_none_is_no_parameter(other: Assembly, version: str) -> None:
    with pytest.raises(Exception, match="ModelVersion"):
        served(other.templates[WEST], version)


MISTAKES: dict[str, tuple[str, Change, str]] = {
    "a model of another account": (
        WEST,
        lambda t: put(
            resource(t, "ServingModel"),
            {"ModelPackageName": "arn:aws:sagemaker:eu-west-1:999999999999:model-package/fedstack-cms/1"},
            "PrimaryContainer",
        ),
        "not a version of the account's own fedstack-cms",
    ),
    "an image and files instead of a registered model": (
        WEST,
        lambda t: put(
            resource(t, "ServingModel"), {"Image": "x", "ModelDataUrl": "s3://x/y"}, "PrimaryContainer"
        ),
        "not a version of the account's own fedstack-cms",
    ),
    "a container that is not isolated": (
        EAST,
        lambda t: put(resource(t, "ServingModel"), False, "EnableNetworkIsolation"),
        "not isolated from the network",
    ),
    "a model outside the account's network": (
        EAST,
        lambda t: without(resource(t, "ServingModel"), "VpcConfig"),
        "not in the subnets of the training job",
    ),
    "answers are captured": (
        WEST,
        lambda t: put(resource(t, "ServingConfig"), {"EnableCapture": True}, "DataCaptureConfig"),
        "DataCaptureConfig, a property of AWS::SageMaker::EndpointConfig",
    ),
    "an endpoint on a machine": (
        WEST,
        lambda t: put(resource(t, "ServingConfig")["ProductionVariants"][0], "ml.m5.large", "InstanceType"),
        "otherwise than serverless",
    ),
    "an endpoint with somebody else's key": (
        WEST,
        lambda t: put(resource(t, "ServingConfig"), "alias/x", "KmsKeyId"),
        "not encrypted with the data key",
    ),
    "an endpoint by a configuration from elsewhere": (
        WEST,
        lambda t: put(resource(t, "ServingEndpoint"), "other", "EndpointConfigName"),
        "a configuration that is not in this template",
    ),
    "a served model reads the data": (
        WEST,
        lambda t: put(statement(t, "ServingServingRoleDefaultPolicy", "LoadModel"), "*", "Resource"),
        "may call s3:GetObject on arn:aws:s3:::<data bucket>/train/data.csv",
    ),
    "a served model may be any version name": (
        WEST,
        lambda t: without(t["Parameters"], "ModelVersion", "AllowedPattern"),
        "The deployment is asked for ModelVersion (any text)",
    ),
    "a protection under the condition": (
        WEST,
        lambda t: put(
            next(r for r in t["Resources"].values() if r["Type"] == "AWS::S3::BucketPolicy"),
            "ModelIsServed",
            "Condition",
        ),
        "an attribute Condition",
    ),
    "the condition is another": (
        WEST,
        lambda t: put(t, {"ModelIsServed": {"Fn::Equals": ["a", "b"]}}, "Conditions"),
        "a section Conditions",
    ),
}


@pytest.mark.parametrize("stack_name", [WEST, EAST])
def test_the_review_passes_what_is_served_as_reviewed(other: Assembly, stack_name: str) -> None:
    result = review(other.text(stack_name).encode())
    assert result.passed, result.problems


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_what_is_served_fails_the_review(other: Assembly, mistake: str) -> None:
    stack_name, change, sentence = MISTAKES[mistake]
    result = review(broken(copy.deepcopy(other.templates[stack_name]), change))
    assert sentence in "\n".join(f"{p.what} {p.counterexample or ''}" for p in result.problems)


def test_the_server_s_principals_can_register_nothing_in_a_client_s_account(
    templates: dict[str, Template],
) -> None:
    granted = json.dumps(statements(templates[NORTH])["KickoffRole72777A9E"])
    assert "ModelPackage" not in granted
    registers = [
        role for role, said in statements(templates[NORTH]).items() if "CreateModelPackage" in str(said)
    ]
    assert registers == ["DataPreparationNotebookRoleD9856C7E"]
