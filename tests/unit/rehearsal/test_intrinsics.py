"""CloudFormation's template language."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal.aws.cloudformation.intrinsics import Scope
from rehearsal.aws.cloudformation.template import Template
from rehearsal.aws.errors import AwsError

NOTHING = {"Resources": {"Thing": {"Type": "T"}}}
SCOPE = Scope(
    {"AWS::Region": "eu-west-1", "Stage": "test"},
    conditions={
        "IsTest": {"Fn::Equals": [{"Ref": "Stage"}, "test"]},
        "Not": {"Fn::Not": [{"Condition": "IsTest"}]},
    },
    resources={"Key": ("key-1", {"Arn": "arn:key"})},
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Key"}, "key-1"),
        ({"Fn::GetAtt": ["Key", "Arn"]}, "arn:key"),
        ({"Fn::GetAtt": "Key.Arn"}, "arn:key"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}]]}, "a-test"),
        ({"Fn::Sub": "${Stage}-${Key.Arn}-${!Literal}"}, "test-arn:key-${Literal}"),
        ({"Fn::Select": [1, {"Fn::Split": [":", "a:b"]}]}, "b"),
        ({"Fn::If": ["IsTest", "yes", "no"]}, "yes"),
        ({"Fn::If": ["Not", "yes", "no"]}, "no"),
        ({"a": {"Ref": "AWS::NoValue"}, "b": 1}, {"b": 1}),
        ([{"Ref": "AWS::NoValue"}, 1], [1]),
        ({"Condition": {"Bool": {"x": "true"}}}, {"Condition": {"Bool": {"x": "true"}}}),
    ],
)
def test_functions(value: Any, expected: Any) -> None:
    assert SCOPE.resolve(value) == expected


@pytest.mark.parametrize("value", [{"Ref": "Nobody"}, {"Fn::GetAtt": ["Key", "Colour"]}, {"Fn::Cidr": []}])
def test_what_cannot_be_resolved_is_an_error(value: Any) -> None:
    with pytest.raises(AwsError):
        SCOPE.resolve(value)


def template(body: dict[str, Any], **given: str) -> Template:
    return Template(json.dumps(body), given, {"AWS::Region": "eu-west-1"}, str, str)


def test_resources_come_after_what_they_need_and_without_those_whose_condition_fails() -> None:
    body = {
        "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
        "Resources": {
            "Last": {"Type": "T", "Properties": {"x": {"Fn::Sub": "${Middle}"}}},
            "Middle": {"Type": "T", "DependsOn": "First"},
            "First": {"Type": "T"},
            "Gone": {"Type": "T", "Condition": "Never"},
        },
    }
    assert list(template(body).resources()) == ["First", "Middle", "Last"]


def test_a_circle_is_refused() -> None:
    body = {"Resources": {"A": {"Type": "T", "DependsOn": "B"}, "B": {"Type": "T", "DependsOn": "A"}}}
    with pytest.raises(AwsError, match="Circular"):
        template(body).resources()


@pytest.mark.parametrize(
    ("given", "message"),
    [({}, "must have values"), ({"Vpc": "x"}, "constraint"), ({"Vpc": "vpc-1", "More": "x"}, "do not exist")],
)
def test_parameters_are_checked(given: dict[str, str], message: str) -> None:
    body = {"Parameters": {"Vpc": {"Type": "String", "AllowedPattern": "vpc-[0-9]"}}, **NOTHING}
    with pytest.raises(AwsError, match=message):
        template(body, **given)
