"""What SageMaker checks of a CreateTrainingJob request before a job exists.

Source: SageMaker API reference, CreateTrainingJob: the constraints of its fields (which botocore's model has,
and checks) and the conditions in their descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from botocore.validate import ParamValidator
from moto.core.utils import get_service_model
from moto.ec2.models import ec2_backends

from cdk_app.regions import AMAZONAWS
from rehearsal.aws.errors import AwsError

NAME: Final = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
IMAGE: Final = re.compile(rf"\d{{12}}\.dkr\.ecr\.[a-z0-9-]+\.{AMAZONAWS}/.+:.+")
MOST_CHARACTERS: Final = 256


def check(asked: Mapping[str, Any], account: str, region: str) -> None:
    """Raise ValidationException for a request that SageMaker would refuse."""
    shape = get_service_model("sagemaker").operation_model("CreateTrainingJob").input_shape
    report = ParamValidator().validate(dict(asked), shape)
    if report.has_errors():
        raise invalid(report.generate_report())
    _check_fields(asked)
    _check_network(asked.get("VpcConfig") or {}, account, region)


def invalid(message: str) -> AwsError:
    """Return SageMaker's refusal."""
    return AwsError("ValidationException", message)


def _check_fields(asked: Mapping[str, Any]) -> None:
    if not NAME.fullmatch(asked["TrainingJobName"]):
        raise invalid(f"TrainingJobName {asked['TrainingJobName']!r} must satisfy {NAME.pattern}")
    image = asked["AlgorithmSpecification"].get("TrainingImage", "")
    if not IMAGE.fullmatch(image):
        raise invalid(f"Invalid image URI {image!r}: it must be one of Amazon ECR")
    for key, value in (asked.get("HyperParameters") or {}).items():
        if max(len(key), len(value)) > MOST_CHARACTERS:
            raise invalid(f"Hyperparameter {key!r} has more than {MOST_CHARACTERS} characters")
    if len(asked.get("HyperParameters") or {}) > 100:
        raise invalid("A job takes 100 hyperparameters at most")
    stop = asked["StoppingCondition"]
    longest, patience = stop.get("MaxRuntimeInSeconds", 86_400), stop.get("MaxWaitTimeInSeconds")
    spot = asked.get("EnableManagedSpotTraining", False)
    if spot and (patience is None or patience < longest):
        raise invalid(
            "MaxWaitTimeInSeconds must be there for spot training, and no less than MaxRuntimeInSeconds"
        )
    if patience is not None and not spot:
        raise invalid("MaxWaitTimeInSeconds is for managed spot training only")


def _check_network(network: Mapping[str, Any], account: str, region: str) -> None:
    ec2 = ec2_backends[account][region]
    there = {subnet.id for subnet in ec2.describe_subnets()}
    if lost := sorted(set(network.get("Subnets", [])) - there):
        raise invalid(f"The subnet ID '{lost[0]}' does not exist")
    groups = {group.id for group in ec2.describe_security_groups()}
    if lost := sorted(set(network.get("SecurityGroupIds", [])) - groups):
        raise invalid(f"The security group '{lost[0]}' does not exist")
