"""The emulated CloudFormation takes of a resource what CloudFormation's own schema of its type allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from moto_stack import ACCOUNT, MotoClients, a, created, empty_stack, template
from property_cases import CASES
from property_values import BASE

from rehearsal.aws.cloudformation import schemas
from rehearsal.aws.cloudformation.provider import ResourceProvider
from rehearsal.aws.cloudformation.resource import Resource
from rehearsal.aws.cloudformation.stack import Stack
from rehearsal.aws.cloudformation.types import PROVIDERS
from rehearsal.aws.errors import AwsError

TYPES = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=list(PROVIDERS))
WORDS = {*schemas._Validator.VALIDATORS} | {
    # These say what a value means, or are CloudFormation's, and hold nothing back.
    *("$schema", "cfnLint", "default", "definitions", "description", "examples", "insertionOrder"),
    *("relationshipRef", "propertyPath", "typeName", "deprecatedProperties", "arrayType"),
}
LISTS_OF_NAMES = ("default", "const", "dependencies", "dependentExcluded", "dependentRequired")
NOT_IN_PLACE = {
    "AWS::DynamoDB::Table": {
        "AttributeDefinitions": "they follow the key",
        "BillingMode": "no template changes it",
        "KeySchema": "AWS replaces the table only where it has no other key",
    },
    "AWS::EC2::VPC": {"InstanceTenancy": "AWS changes it in one direction only"},
    "AWS::EC2::VPCEndpoint": {
        "PrivateDnsEnabled": "moto cannot change it",
        "RouteTableIds": "moto would leave the tables' routes as they are",
    },
    "AWS::EC2::SecurityGroupIngress": {"Description": "moto cannot change it"},
    "AWS::EC2::VPCPeeringConnection": {"PeerRoleArn": "it acts at the creation only"},
    "AWS::ElasticLoadBalancingV2::Listener": {"Protocol": "moto knows no other of a network's"},
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"Subnets": "AWS adds some and removes none"},
    "AWS::IAM::Policy": {"PolicyName": "nobody renames a policy"},
    "AWS::Logs::LogGroup": {"KmsKeyId": "moto cannot change it"},
    "AWS::SNS::TopicPolicy": {"Topics": "nobody moves a policy"},
    "AWS::S3::Bucket": {"AccessControl": "the table knows one value of it"},
    "AWS::KMS::Key": {"KeySpec": "KMS refuses it", "KeyUsage": "KMS refuses it"},
    "AWS::SSM::Parameter": {"Type": "Systems Manager refuses it"},
}


@pytest.fixture
def stack() -> Iterator[Stack]:
    with empty_stack() as stack:
        yield stack


def valid(provider: ResourceProvider) -> dict[str, Any]:
    """Values of every property that other tests update, with functions taken for strings."""
    kind = provider.type_name.removeprefix("AWS::")
    values = {**BASE.get(kind, {}), **{name: old for name, (old, _, _) in CASES.get(kind, {}).items()}}
    return {name: plain(value) for name, value in values.items()}


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return "name-1" if set(value) == {"Ref"} else {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def refusal(provider: ResourceProvider, properties: Mapping[str, Any]) -> str:
    with pytest.raises(AwsError) as refused:
        Resource(provider, MotoClients(), ACCOUNT, "stack", "Odd").checked(properties)
    return str(refused.value)


@TYPES
def test_what_is_no_property_is_refused(provider: ResourceProvider) -> None:
    assert "NoSuchProperty" in refusal(provider, valid(provider) | {"NoSuchProperty": 1})


@TYPES
def test_a_property_that_the_table_does_not_have_is_refused(provider: ResourceProvider) -> None:
    others = {*schemas.schema_of(provider.type_name)["properties"]} - provider.properties
    for name in others:
        assert name in refusal(provider, valid(provider) | {name: [[]] if name in ("Tags",) else "x"})


@TYPES
def test_every_property_is_refused_as_another_type(provider: ResourceProvider) -> None:
    for name in provider.properties:
        schema = schemas.schema_of(provider.type_name)["properties"][name]
        takes_lists = "array" in str(schema.get("type", schema))
        assert f"#/{name}" in refusal(provider, valid(provider) | {name: 1 if takes_lists else [[1]]})


@TYPES
def test_what_is_required_is_missed(provider: ResourceProvider) -> None:
    for name in schemas.schema_of(provider.type_name).get("required", []):
        rest = {key: value for key, value in valid(provider).items() if key != name}
        assert f"'{name}' is a required property" in refusal(provider, rest)


@TYPES
def test_a_word_of_a_schema_that_we_do_not_apply_is_none(provider: ResourceProvider) -> None:
    def words(schema: Any) -> Iterator[str]:
        if isinstance(schema, Mapping):
            yield from schema
            for word, value in schema.items():
                nested = word in ("properties", "patternProperties", "definitions")
                for part in value.values() if nested else [value]:
                    yield from words(part) if word not in LISTS_OF_NAMES else ()
        for item in schema if isinstance(schema, list) else ():
            yield from words(item)

    schema = schemas.schema_of(provider.type_name)
    parts = [*schema["properties"].values(), *schema.get("definitions", {}).values()]
    assert {word for part in parts for word in words(part)} <= WORDS
    assert {"additionalProperties"} <= {*schema}


@TYPES
def test_the_tables_name_cloudformation_s_own_properties_and_attributes(provider: ResourceProvider) -> None:
    schema = schemas.schema_of(provider.type_name)
    writable = {*schema["properties"]} - {
        p[0] for p in schemas.paths(schema, "readOnlyProperties") if len(p) == 1
    }
    assert provider.properties <= writable
    known = PROVIDER_SCHEMA_MANAGER.get_type_getatts(provider.type_name, "us-east-1")
    attributes = {word.partition("=")[0] for word in provider.attributes.split()}
    assert {name for name in attributes if name not in known} == set()


@TYPES
def test_what_aws_replaces_is_replaced_and_what_it_changes_is_changed_or_refused(
    provider: ResourceProvider,
) -> None:
    listed = schemas.paths(schemas.schema_of(provider.type_name), "createOnlyProperties")
    create_only = {path[0] for path in listed if len(path) == 1}
    assert not create_only & {*provider.updatable}
    refused = provider.properties - create_only - {*provider.updatable, *provider.ignored}
    assert refused == {*NOT_IN_PLACE.get(provider.type_name, {})}
    for name in create_only & provider.properties:
        resource = Resource(provider, MotoClients(), ACCOUNT, "stack", "Some")
        if provider.name in ("", name):
            assert resource.replaces({name: "old"}, {name: "new"})
        else:
            with pytest.raises(AwsError, match="requires replacing"):
                resource.replaces({name: "old", provider.name: "x"}, {name: "new", provider.name: "x"})


@pytest.mark.parametrize(
    ("kind", "properties", "fault"),
    [
        ("Logs::LogGroup", {"RetentionInDays": 8}, "8 is not one of"),
        ("Logs::LogGroup", {"RetentionInDays": "soon"}, "'soon' is not of type 'integer'"),
        ("Logs::LogGroup", {"LogGroupName": "a b"}, "does not match"),
        ("KMS::Key", {"EnableKeyRotation": "yes"}, "'yes' is not of type 'boolean'"),
        ("KMS::Key", {"PendingWindowInDays": 3}, "less than the minimum"),
        ("S3::Bucket", {"VersioningConfiguration": "Enabled"}, "not of type 'object'"),
        ("S3::Bucket", {"VersioningConfiguration": {"Status": "On"}}, "#/VersioningConfiguration/Status"),
        ("S3::Bucket", {"Tags": [{"Key": "a", "Value": "b", "More": "c"}]}, "#/Tags/0"),
        ("S3::Bucket", {"Arn": "arn:aws:s3:::x"}, "#/Arn: is read-only"),
        ("EC2::VPC", {"CidrBlock": "10.0.0.0/99"}, "not a 'ipv4-network'"),
        ("EC2::VPC", {"CidrBlock": "10.0.0.0/16", "Ipv4IpamPoolId": "p"}, "exactly one of"),
        ("SSM::Parameter", {"Type": "SecureString", "Value": "x"}, "'SecureString' is not one of"),
        ("SNS::Subscription", {"TopicArn": "x"}, "'Protocol' is a required property"),
    ],
)
def test_a_value_that_the_schema_does_not_allow_fails_the_creation_and_an_update(
    stack: Stack, kind: str, properties: Mapping[str, Any], fault: str
) -> None:
    stack.create(template({"Odd": a(kind, **properties)}))
    assert stack.status == "ROLLBACK_COMPLETE"
    assert fault in stack.reason
    assert "Odd" in stack.reason
    stack.resources.clear()
    created(stack, Topic=a("SNS::Topic"))
    stack.update(template({"Topic": a("SNS::Topic"), "Odd": a(kind, **properties)}))
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert fault in stack.reason


def test_a_string_may_be_a_number_or_a_truth_value_and_the_other_way_round(stack: Stack) -> None:
    parameter = a("SSM::Parameter", Name="/count", Type="String", Value=7)
    created(stack, Group=a("Logs::LogGroup", RetentionInDays="7"), Count=parameter)
    (group,) = stack.clients.get("logs").describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 7
    assert stack.clients.get("ssm").get_parameter(Name="/count")["Parameter"]["Value"] == "7"
    stack.update(template({"Group": a("Logs::LogGroup", RetentionInDays=7), "Count": parameter}))
    assert not [
        e
        for e in stack.events
        if e["ResourceStatus"] == "UPDATE_COMPLETE" and e["LogicalResourceId"] == "Group"
    ]
