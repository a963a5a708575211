"""A stack of the emulated CloudFormation whose resources are moto's, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from moto import mock_aws

from rehearsal.aws.clients import Clients
from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.template import Template

ACCOUNT, REGION = "123456789012", "eu-west-1"


class MotoClients(Clients):
    """Clients of moto in this process."""

    def __init__(self) -> None:
        self.region = REGION

    def get(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)


@contextmanager
def empty_stack() -> Iterator[Stack]:
    with mock_aws():
        yield Stack("stack", "arn:aws:cloudformation:::stack/stack", ACCOUNT, REGION, MotoClients())


def template(resources: Mapping[str, Any]) -> Template:
    return Template(json.dumps({"Resources": resources}), {}, {"AWS::Region": REGION}, str, str)


def a(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": type_of(kind), "Properties": properties}


def type_of(kind: str) -> str:
    """The type of a kind of resource; what is behind `/` tells two kinds of one type apart."""
    return f"AWS::{kind.partition('/')[0]}"


def created(stack: Stack, **resources: Any) -> Stack:
    stack.create(template(resources))
    assert stack.status == "CREATE_COMPLETE", stack.reason
    return stack


def updated(stack: Stack, **resources: Any) -> Stack:
    stack.update(template(resources))
    assert stack.status == "UPDATE_COMPLETE", stack.reason
    return stack


def identity(stack: Stack, name: str) -> str:
    return stack.resources[name].resource.physical_id
