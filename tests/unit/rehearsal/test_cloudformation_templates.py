"""A template's sections, parameters, conditions, outputs and policies are applied, or an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto_stack import ACCOUNT, REGION, MotoClients, a, empty_stack

from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.template import Template
from rehearsal.aws.errors import AwsError

TOPIC = a("SNS::Topic", TopicName="topic")
NOTHING = {"Resources": {"Thing": TOPIC}}
PARAMETER = {"Type": "String", "Default": "b"}


def template(body: Any, **given: str) -> Template:
    pseudo = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT}
    return Template(body if isinstance(body, str) else json.dumps(body), given, pseudo, str, str)


def resource(**more: Any) -> dict[str, Any]:
    return {"Resources": {"Thing": TOPIC | more, "Other": a("SNS::Topic")}}


@pytest.fixture
def stack() -> Iterator[Stack]:
    with empty_stack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("{", "Template format error"),
        ("a: [", "Template format error"),
        ({}, "'Resources' is a required property"),
        ({"Resources": {}}, "#/Resources"),
        ({**NOTHING, "Colours": {}}, "'Colours' was unexpected"),
        ({**NOTHING, "Transform": "AWS::Serverless-2016-10-31"}, "'Transform' was unexpected"),
        ({**NOTHING, "AWSTemplateFormatVersion": "2011-01-01"}, "AWSTemplateFormatVersion"),
        ({"Resources": {"a-b": TOPIC}}, "a-b"),
        ({"Resources": {"Thing": {"Properties": {}}}}, "'Type' is a required property"),
        (resource(Propertes={}), "'Propertes' was unexpected"),
        (resource(CreationPolicy={}), "'CreationPolicy' was unexpected"),
        (resource(DeletionPolicy="Keep"), "DeletionPolicy: 'Keep' is not one of"),
        (resource(DeletionPolicy="Snapshot"), "'Snapshot' is not one of"),
        (resource(UpdateReplacePolicy="RetainExceptOnCreate"), "UpdateReplacePolicy"),
        (resource(DependsOn="Nobody"), r"Unresolved resource dependencies \['Nobody'\]"),
        (resource(DependsOn=["Other", "Nobody"]), r"Unresolved resource dependencies \['Nobody'\]"),
        (resource(Condition="Never"), r"Unresolved condition dependencies \['Never'\]"),
        (resource(Properties={"TopicName": {"Ref": "Nobody"}}), r"\['Nobody'\]"),
        (resource(Properties={"TopicName": {"Fn::GetAtt": ["Nobody", "Arn"]}}), r"\['Nobody'\]"),
        (resource(Properties={"TopicName": {"Fn::Sub": "${Nobody}"}}), r"\['Nobody'\]"),
        (resource(Properties={"TopicName": {"Fn::If": ["Never", "a", "b"]}}), r"condition .*\['Never'\]"),
        ({**NOTHING, "Parameters": {"P": {"Type": "Text"}}}, "'Text' is not one of"),
        ({**NOTHING, "Parameters": {"P": {"Type": "AWS::EC2::VPC::Id"}}}, "is not one of"),
        ({**NOTHING, "Parameters": {"P": {**PARAMETER, "AllowedPatern": "a"}}}, "'AllowedPatern' was unexp"),
        ({**NOTHING, "Parameters": {"P": {**PARAMETER, "AllowedPattern": "("}}}, "not a 'regex'"),
        ({**NOTHING, "Parameters": {"P": {**PARAMETER, "AllowedPattern": "a"}}}, "failed to satisfy"),
        ({**NOTHING, "Parameters": {"P": {**PARAMETER, "AllowedValues": ["a"]}}}, "must be one of"),
        ({**NOTHING, "Parameters": {"P": {**PARAMETER, "MinLength": 2}}}, "length"),
        ({**NOTHING, "Parameters": {"P": {**PARAMETER, "MaxLength": "0"}}}, "length"),
        ({**NOTHING, "Parameters": {"P": {"Type": "Number", "Default": "b"}}}, "a number"),
        ({**NOTHING, "Parameters": {"P": {"Type": "Number", "Default": 5, "MaxValue": 4}}}, "to 4"),
        ({**NOTHING, "Parameters": {"P": {"Type": "List<Number>", "Default": "1,b"}}}, "a number"),
        ({**NOTHING, "Outputs": {"O": {"Vlaue": "x"}}}, "'Vlaue' was unexpected"),
        ({**NOTHING, "Outputs": {"O": {"Value": {"Ref": "Nobody"}}}}, r"\['Nobody'\]"),
        ({**NOTHING, "Outputs": {"O": {"Value": "x", "Condition": "Never"}}}, r"\['Never'\]"),
        ({**NOTHING, "Outputs": {"O": {"Value": "x", "Export": {}}}}, "'Name' is a required"),
        ({**NOTHING, "Rules": {"R": {"Assertion": []}}}, "'Assertion' was unexpected"),
    ],
)
def test_what_a_template_cannot_have_is_an_error_before_anything_is_made(body: Any, fault: str) -> None:
    with pytest.raises(AwsError, match=fault):
        template(body)


@pytest.mark.parametrize(
    "value",
    [
        {"Fn::If": ["Always", "a"]},
        {"Fn::Select": [3, ["a"]]},
        {"Fn::Select": ["x", ["a"]]},
        {"Fn::Join": ["-", ["a"], "b"]},
        {"Fn::FindInMap": ["Map", "no", "key"]},
        {"Fn::FindInMap": ["Nomap", "no", "key"]},
        {"Fn::GetAtt": ["Thing", "Colour"]},
        {"Fn::Base64": 5},
        {"Fn::Transform": {"Name": "x"}},
        {"Fn::Join": ["-", ["a"]], "More": 1},
    ],
)
def test_a_function_that_cannot_be_applied_fails_the_resource(stack: Stack, value: Any) -> None:
    body = {
        "Mappings": {"Map": {"yes": {"key": "x"}}},
        "Conditions": {"Always": {"Fn::Equals": ["a", "a"]}},
        "Resources": {"Thing": TOPIC, "Odd": a("SNS::Topic", TopicName=value)},
    }
    stack.create(template(body))
    assert stack.status == "ROLLBACK_COMPLETE"
    assert not stack.resources


def test_an_output_that_cannot_be_had_fails_the_stack(stack: Stack) -> None:
    stack.create(template({**NOTHING, "Outputs": {"O": {"Value": {"Fn::GetAtt": ["Thing", "Colour"]}}}}))
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "Colour" in stack.reason


def test_numbers_in_a_declaration_are_strings_to_the_template() -> None:
    body = {**NOTHING, "Parameters": {"P": {"Type": "Number", "Default": 5, "AllowedValues": [5, 6]}}}
    assert template(body).parameters == {"P": "5"}
    assert template(body, P="6").parameters == {"P": "6"}


def test_a_parameter_without_echo_is_not_shown() -> None:
    secret = {"Type": "String", "NoEcho": True}
    shown = list(template({**NOTHING, "Parameters": {"P": secret}}, P="hidden").described_parameters())
    assert shown == [{"ParameterKey": "P", "ParameterValue": "****"}]


def exporting(name: str, value: str) -> Template:
    export = {"O": {"Value": value, "Export": {"Name": name}}}
    return template({"Resources": {"Thing": a("SNS::Topic")}, "Outputs": export})


@pytest.fixture
def neighbour(stack: Stack) -> Stack:
    other = Stack("other", "arn:other", ACCOUNT, REGION, MotoClients())
    stack.neighbours, other.neighbours = lambda: [other], lambda: [stack]
    return other


def test_an_export_has_one_owner(stack: Stack, neighbour: Stack) -> None:
    stack.create(exporting("shared", "a"))
    neighbour.create(exporting("shared", "b"))
    assert neighbour.status == "ROLLBACK_COMPLETE"
    assert "already exported by stack stack" in neighbour.reason


def test_an_export_in_use_can_neither_change_nor_go(stack: Stack, neighbour: Stack) -> None:
    stack.create(exporting("shared", "a"))
    importing = template({"Resources": {"Thing": a("SNS::Topic", TopicName={"Fn::ImportValue": "shared"})}})
    neighbour.create(importing)
    stack.update(exporting("shared", "b"))
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "in use by other" in stack.reason
    with pytest.raises(AwsError, match="in use by other"):
        stack.check_exports([])


@pytest.mark.parametrize(
    ("policy", "kept"), [("Delete", False), ("Retain", True), ("RetainExceptOnCreate", False)]
)
def test_a_policy_decides_what_a_failed_creation_leaves(stack: Stack, policy: str, kept: bool) -> None:
    odd = a("SNS::Topic", NoSuchProperty=1) | {"DependsOn": "Thing"}
    stack.create(template({"Resources": {"Thing": TOPIC | {"DeletionPolicy": policy}, "Odd": odd}}))
    assert bool(stack.clients.get("sns").list_topics()["Topics"]) is kept


@pytest.mark.parametrize(
    ("policy", "kept"), [("Delete", False), ("Retain", True), ("RetainExceptOnCreate", True)]
)
def test_a_policy_decides_what_a_deleted_stack_leaves(stack: Stack, policy: str, kept: bool) -> None:
    stack.create(template({"Resources": {"Thing": TOPIC | {"DeletionPolicy": policy}}}))
    stack.delete()
    assert bool(stack.clients.get("sns").list_topics()["Topics"]) is kept
