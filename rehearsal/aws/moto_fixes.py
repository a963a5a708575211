"""What plain moto does otherwise than AWS, or again for every call, mended where the gateway cannot.

Each function says what is wrong in moto 5.2.5, which is pinned.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import moto.core.utils
from moto import backends
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_aws_sdk


def leave_decisions_to_the_gateway() -> None:
    """Moto reads bucket policies without their conditions, so that `deny without TLS` denies everything."""

    def permitted(self: FakeBucket, action: str, resource: str) -> Any:  # noqa: ARG001 - moto's signature
        return PermissionResult.PERMITTED

    FakeBucket.get_permission = permitted  # type: ignore[method-assign,unused-ignore]


def remember_what_does_not_change() -> None:
    """Moto lists its own folder for every call, and botocore's for every service."""
    names = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: names
    moto.core.utils.create_loader = cache(moto.core.utils.create_loader)  # type: ignore[attr-defined]


def name_services_in_errors() -> None:
    """Moto knows of two services only what Step Functions calls them in errors."""
    state_task_service_aws_sdk._SERVICE_ERROR_NAMES.update(
        {"ssm": "Ssm", "sagemaker": "SageMaker", "s3": "S3"}
    )


def apply() -> None:
    """Mend all of it."""
    leave_decisions_to_the_gateway()
    remember_what_does_not_change()
    name_services_in_errors()
