"""Policies that AWS would refuse for their size are found at synth."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import pytest
from assembly import Synthesise, example
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam

from cdk_app.size_limits import ENDPOINT_POLICY, MANAGED_POLICY, SizeLimits, length


@pytest.mark.parametrize(
    ("document", "size"),
    [
        ({"Action": "s3:GetObject"}, len('{"Action":"s3:GetObject"}')),
        (["a", "b"], len('["a","b"]')),
        ({"Ref": "Role"}, 100),
        ({"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":x"]]}, 6 + 100 + 4),
    ],
)
def test_the_length_is_that_of_the_text_and_an_arn_s_where_it_is_not_known(document: Any, size: int) -> None:
    assert length(document) == size


def managed(stack: cdk.Stack, document: dict[str, Any]) -> None:
    iam.CfnManagedPolicy(stack, "Policy", policy_document=document)


def endpoint(stack: cdk.Stack, document: dict[str, Any]) -> None:
    ec2.CfnVPCEndpoint(stack, "Endpoint", vpc_id="vpc-1", service_name="s3", policy_document=document)


@pytest.mark.parametrize("clients", [1, 125])
@pytest.mark.parametrize(("make", "most"), [(managed, MANAGED_POLICY), (endpoint, ENDPOINT_POLICY)])
def test_a_policy_that_is_too_long_is_an_error_of_its_stack(make: Any, most: int, clients: int) -> None:
    app = cdk.App()
    stack = cdk.Stack(app, "Stack")
    roles = [
        f"arn:aws:iam::{n:012}:role/FL-kickoff-client-job-federation-client-{n:03}" for n in range(clients)
    ]
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles * 3}
    make(stack, {"Version": "2012-10-17", "Statement": [statement]})
    cdk.Aspects.of(stack).add(SizeLimits())
    said = [str(m.entry.data) for m in app.synth().get_stack_by_name("Stack").messages]
    assert any(f"AWS takes {most:,}" in line for line in said) is (clients > 1)


def test_the_example_is_within_every_limit(synthesise: Synthesise) -> None:
    assert synthesise(example()).messages("aws:cdk:error") == {}
