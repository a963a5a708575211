"""Updates of the emulated CloudFormation: in place, by replacement or not at all, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto_stack import REGION, a, created, empty_stack, identity, template, updated

from rehearsal.aws.cloudformation.stack import Stack

VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
TRUST = {
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "states.amazonaws.com"}}
    ]
}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@pytest.fixture
def stack() -> Iterator[Stack]:
    with empty_stack() as stack:
        yield stack


def test_a_changed_immutable_property_replaces_the_resource(stack: Stack) -> None:
    def subnet(cidr: str) -> dict[str, Any]:
        return a("EC2::Subnet", VpcId={"Ref": "Vpc"}, CidrBlock=cidr)

    created(stack, Vpc=VPC, Subnet=subnet("10.0.1.0/24"))
    first = identity(stack, "Subnet")
    updated(stack, Vpc=VPC, Subnet=subnet("10.0.2.0/24"))
    second = identity(stack, "Subnet")
    mine = [{"Name": "vpc-id", "Values": [identity(stack, "Vpc")]}]
    (present,) = stack.clients.get("ec2").describe_subnets(Filters=mine)["Subnets"]
    assert first != second
    assert (present["SubnetId"], present["CidrBlock"]) == (second, "10.0.2.0/24")


def test_a_changed_immutable_property_of_a_named_resource_fails(stack: Stack) -> None:
    vpc, described = {"VpcId": {"Ref": "Vpc"}}, "GroupDescription"
    created(stack, Vpc=VPC, Group=a("EC2::SecurityGroup", GroupName="group", **vpc, **{described: "x"}))
    changed = a("EC2::SecurityGroup", GroupName="group", **vpc, **{described: "y"})
    stack.update(template({"Vpc": VPC, "Group": changed}))
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource requires replacing" in stack.reason


def test_what_was_replaced_comes_back_when_the_update_fails(stack: Stack) -> None:
    role = a(
        "IAM::Role", AssumeRolePolicyDocument=TRUST, Policies=[{"PolicyName": "p", "PolicyDocument": ALLOW}]
    )
    subnet = a("EC2::Subnet", VpcId={"Ref": "Vpc"}, CidrBlock="10.0.1.0/24")
    created(stack, Vpc=VPC, Subnet=subnet, Role=role)
    before = dict(stack.resources)
    subnet = a("EC2::Subnet", VpcId={"Ref": "Vpc"}, CidrBlock="10.0.2.0/24")
    broken = a(
        "IAM::Role", AssumeRolePolicyDocument=TRUST, Policies=[{"PolicyName": "p", "PolicyDocument": {}}]
    )
    more = a("EC2::RouteTable", VpcId={"Ref": "Vpc"})
    broken |= {"DependsOn": ["Subnet", "Table"]}
    stack.update(template({"Vpc": VPC, "Subnet": subnet, "Table": more, "Role": broken}))
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert stack.resources == before  # and what only the new template has is gone
    mine = [{"Name": "vpc-id", "Values": [identity(stack, "Vpc")]}]
    assert len(stack.clients.get("ec2").describe_subnets(Filters=mine)["Subnets"]) == 1
    policies = stack.clients.get("iam").list_role_policies(RoleName=identity(stack, "Role"))
    assert policies["PolicyNames"] == ["p"]


def test_an_endpoint_s_security_groups_and_policy_change_in_place(stack: Stack) -> None:
    def resources(group: str, **more: Any) -> dict[str, Any]:
        described = {"GroupDescription": "x", "VpcId": {"Ref": "Vpc"}}
        endpoint = a(
            "EC2::VPCEndpoint",
            VpcId={"Ref": "Vpc"},
            ServiceName=f"com.amazonaws.{REGION}.states",
            VpcEndpointType="Interface",
            SecurityGroupIds=[{"Ref": group}],
            PolicyDocument=ALLOW,
            **more,
        )
        groups = {name: a("EC2::SecurityGroup", **described) for name in ("One", "Two")}
        return {"Vpc": VPC, **groups, "Endpoint": endpoint}

    created(stack, **resources("One", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]))
    first = identity(stack, "Endpoint")
    updated(stack, **resources("Two", Tags=[{"Key": "b", "Value": "3"}]))
    (endpoint,) = stack.clients.get("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    assert endpoint["VpcEndpointId"] == first == identity(stack, "Endpoint")
    assert [group["GroupId"] for group in endpoint["Groups"]] == [identity(stack, "Two")]
    assert endpoint["Tags"] == [{"Key": "b", "Value": "3"}]


def test_a_group_lets_out_what_its_template_says_and_everything_if_that_says_nothing(stack: Stack) -> None:
    def group(**rules: Any) -> dict[str, Any]:
        return a("EC2::SecurityGroup", GroupDescription="x", VpcId={"Ref": "Vpc"}, **rules)

    def open_to() -> list[str]:
        (found,) = ec2.describe_security_groups(GroupIds=[identity(stack, "Group")])["SecurityGroups"]
        return [entry["CidrIp"] for rule in found["IpPermissionsEgress"] for entry in rule["IpRanges"]]

    ec2 = boto3.client("ec2", region_name=REGION)
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    created(stack, Vpc=VPC, Group=group(SecurityGroupEgress=[{**https, "CidrIp": "10.0.0.0/24"}]))
    assert open_to() == ["10.0.0.0/24"]
    updated(stack, Vpc=VPC, Group=group(SecurityGroupEgress=[{**https, "CidrIp": "10.0.1.0/24"}]))
    assert open_to() == ["10.0.1.0/24"]
    updated(stack, Vpc=VPC, Group=group())
    assert open_to() == ["0.0.0.0/0"]


def test_a_role_s_policies_tags_and_trust_follow_its_template_and_go_with_it(stack: Stack) -> None:
    def role(name: str, **more: Any) -> dict[str, Any]:
        policies = [{"PolicyName": name, "PolicyDocument": ALLOW}]
        return a("IAM::Role", AssumeRolePolicyDocument=TRUST, Policies=policies, **more)

    iam = stack.clients.get("iam")
    managed = a("IAM::ManagedPolicy", PolicyDocument=ALLOW)
    more = {"ManagedPolicyArns": [{"Ref": "Managed"}], "Tags": [{"Key": "a", "Value": "1"}]}
    created(stack, Managed=managed, Role=role("one", **more))
    updated(stack, Managed=managed, Role=role("two", Description="changed"))
    name = identity(stack, "Role")
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["two"]
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []
    described = iam.get_role(RoleName=name)["Role"]
    assert (described["Description"], described.get("Tags", [])) == ("changed", [])
    stack.delete()
    assert stack.status == "DELETE_COMPLETE"
    assert name not in [role["RoleName"] for role in iam.list_roles()["Roles"]]


def test_a_changed_notebook_is_made_anew_under_its_name(stack: Stack) -> None:
    def notebook(instance_type: str) -> dict[str, Any]:
        names = {"NotebookInstanceName": "book", "RoleArn": "arn:aws:iam::123456789012:role/book"}
        return a("SageMaker::NotebookInstance", InstanceType=instance_type, **names)

    created(stack, Notebook=notebook("ml.t3.medium"))
    updated(stack, Notebook=notebook("ml.t3.large"))
    described = stack.clients.get("sagemaker").describe_notebook_instance(NotebookInstanceName="book")
    assert described["InstanceType"] == "ml.t3.large"


def test_a_property_that_cannot_be_changed_at_all_fails_the_update(stack: Stack) -> None:
    def endpoint(*tables: str) -> dict[str, Any]:
        service = {"VpcId": {"Ref": "Vpc"}, "ServiceName": f"com.amazonaws.{REGION}.s3"}
        return a("EC2::VPCEndpoint", **service, RouteTableIds=[{"Ref": table} for table in tables])

    table = a("EC2::RouteTable", VpcId={"Ref": "Vpc"})
    created(stack, Vpc=VPC, One=table, Two=table, Endpoint=endpoint("One"))
    stack.update(template({"Vpc": VPC, "One": table, "Two": table, "Endpoint": endpoint("One", "Two")}))
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "cannot change ['RouteTableIds'] in place" in stack.reason


def test_a_resource_cannot_become_one_of_another_type(stack: Stack) -> None:
    created(stack, Thing=a("SNS::Topic"))
    stack.update(template({"Thing": a("Logs::LogGroup")}))
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "AWS::SNS::Topic" in stack.reason
