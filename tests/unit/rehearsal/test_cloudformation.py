"""The emulated CloudFormation honours a property, ignores it for a written reason, or fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
import pytest
from assembly import Assembly
from moto_stack import a, created, empty_stack, template

from rehearsal.aws.cloudformation.calls import used
from rehearsal.aws.cloudformation.provider import Items, Put, ResourceProvider
from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.types import PROVIDERS

IGNORED = {
    "AWS::CloudWatch::Dashboard": {"Tags"},
    "AWS::EC2::VPCEndpoint": {"DnsOptions"},
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"},
    "AWS::S3::Bucket": {"LoggingConfiguration"},
    "AWS::SageMaker::Model": {"EnableNetworkIsolation"},
    "AWS::SageMaker::NotebookInstance": {"InstanceMetadataServiceConfiguration", "PlatformIdentifier"},
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": {"Tags"},
}
SESSION = botocore.session.get_session()
TYPES = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=list(PROVIDERS))


@pytest.fixture
def stack() -> Iterator[Stack]:
    with empty_stack() as stack:
        yield stack


def test_an_unknown_property_fails_the_deployment_and_leaves_nothing(stack: Stack) -> None:
    odd = a("S3::Bucket", BucketName="odd", NoSuchProperty=True) | {"DependsOn": "Topic"}
    stack.create(template({"Topic": a("SNS::Topic", TopicName="topic"), "Odd": odd}))
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "Odd (AWS::S3::Bucket)" in stack.reason
    assert "NoSuchProperty" in stack.reason
    assert not stack.resources
    assert not stack.clients.get("sns").list_topics()["Topics"]


def test_an_unknown_property_fails_an_update_and_the_old_value_stays(stack: Stack) -> None:
    created(stack, Group=a("Logs::LogGroup", LogGroupName="group", RetentionInDays=7))
    stack.update(
        template({"Group": a("Logs::LogGroup", LogGroupName="group", RetentionInDays=30, NoSuchProperty=1)})
    )
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "NoSuchProperty" in stack.reason
    (group,) = stack.clients.get("logs").describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 7


@pytest.mark.parametrize(
    ("kind", "properties", "key"),
    [
        (
            "EC2::SecurityGroup",
            {"GroupDescription": "x", "SecurityGroupIngress": [{"IpProtocol": "tcp", "CidrIpv6": "::/0"}]},
            "CidrIpv6",
        ),
        (
            "S3::Bucket",
            {
                "LifecycleConfiguration": {
                    "Rules": [{"Status": "Enabled", "Transitions": [], "ExpirationInDays": 1}]
                }
            },
            "Transitions",
        ),
        ("S3::Bucket", {"BucketEncryption": {"Extra": 1}}, "Extra"),
        ("S3::Bucket", {"AccessControl": "PublicRead"}, "PublicRead"),
        ("S3::Bucket", {"VersioningConfiguration": {"Status": "Enabled", "Extra": 1}}, "Extra"),
        ("SSM::Parameter", {"Type": "String", "Value": {"not": "text"}}, "Value"),
        ("EC2::VPC", {}, "CidrBlock"),
    ],
)
def test_so_does_a_nested_key_or_a_value_that_the_api_does_not_take(
    stack: Stack, kind: str, properties: Mapping[str, Any], key: str
) -> None:
    stack.create(template({"Odd": a(kind, **properties)}))
    assert stack.status == "ROLLBACK_COMPLETE"
    assert f"Odd (AWS::{kind})" in stack.reason
    assert key in stack.reason


def test_what_is_ignored_is_listed_here_and_has_a_reason() -> None:
    ignored = {kind: set(provider.ignored) for kind, provider in PROVIDERS.items() if provider.ignored}
    assert ignored == IGNORED
    assert all(len(why.split()) >= 4 for provider in PROVIDERS.values() for why in provider.ignored.values())


def test_all_properties_of_the_synthesised_templates_are_known(
    templates: dict[str, Any], other: Assembly, linked: Assembly
) -> None:
    unknown = {
        (resource["Type"], name)
        for template in [*templates.values(), *other.templates.values(), *linked.templates.values()]
        for resource in template["Resources"].values()
        for name in resource.get("Properties", {})
        if name not in PROVIDERS[resource["Type"]].properties
    }
    assert not unknown


@TYPES
def test_the_tables_calls_exist_and_use_facts_that_there_are(provider: ResourceProvider) -> None:
    service = SESSION.get_service_model(provider.service)
    changes = provider.updatable.values()
    lines = [
        provider.create,
        *(step for step in provider.delete if isinstance(step, str)),
        *(line for change in changes if isinstance(change, Put) for line in change.lines),
        *(line for change in changes if isinstance(change, Put) for line in change.remove or []),
        *(line for change in changes if isinstance(change, Items) for line in (change.add, change.remove)),
    ]
    operations = {name.lower(): name for name in service.operation_names}
    ours = {"id", "name", "item", "items", "location", "true", *used(provider.attributes or "Arn"), "Arn"}
    for line in lines:
        words = line.split()[2:] if line.startswith("for ") else line.split()
        shape = service.operation_model(operations[words[0].replace("_", "")]).input_shape
        assert {word.partition("=")[0].partition(".")[0].partition("[")[0] for word in words[1:]} <= set(
            shape.members
        ), line
        assert used(line) - {words[0]} <= provider.properties | ours, line
