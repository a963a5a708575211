"""Property values for tests of the emulated CloudFormation, and the resources that they refer to."""

from __future__ import annotations

import json
from typing import Any

from moto_stack import ACCOUNT, a


def policy(action: str, **more: Any) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*", **more}],
    }


def trust(service: str) -> dict[str, Any]:
    principal = {"Service": f"{service}.amazonaws.com"}
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}],
    }


def metric(name: str) -> list[dict[str, Any]]:
    dimensions = [{"Name": "d", "Value": name}]
    stat = {
        "Period": 60,
        "Stat": "Sum",
        "Metric": {"MetricName": name, "Namespace": "n", "Dimensions": dimensions},
    }
    sums = {"Id": "sums", "Expression": f"SUM([{name}])", "Label": name, "ReturnData": True}
    return [sums, {"Id": "m", "ReturnData": False, "MetricStat": stat}]


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def rule(cidr: str) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": cidr, "Description": cidr}]


def encryption(key: str) -> dict[str, Any]:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rule = {"ServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
    return {"ServerSideEncryptionConfiguration": [rule]}


def lifecycle(days: int) -> dict[str, Any]:
    more = {
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days + 10},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days + 20},
    }
    return {"Rules": [{"Id": "rule", "Status": "Enabled", "ExpirationInDays": days, **more}]}


def expiry(days: int) -> dict[str, str]:
    selection = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": days,
    }
    rules = [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]
    return {"LifecyclePolicyText": json.dumps({"rules": rules})}


def machine(comment: str) -> str:
    return json.dumps({"Comment": comment, "StartAt": "End", "States": {"End": {"Type": "Succeed"}}})


def logging(level: str) -> dict[str, Any]:
    group = {"LogGroupArn": f"arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{level}:*"}
    return {
        "Level": level,
        "IncludeExecutionData": True,
        "Destinations": [{"CloudWatchLogsLogGroup": group}],
    }


def public_access(*, blocked: bool) -> dict[str, bool]:
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    return dict.fromkeys(names, blocked)


def scheduled(name: str, attempts: int) -> dict[str, Any]:
    return {
        "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:startNotebookInstance",
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
        "Input": json.dumps({"NotebookInstanceName": name}),
        "RetryPolicy": {"MaximumEventAgeInSeconds": 60 + attempts, "MaximumRetryAttempts": attempts},
    }


def variant(number: int) -> list[dict[str, Any]]:
    serverless = {"MaxConcurrency": 5, "MemorySizeInMB": 2048}
    named = {"ModelName": {"Fn::GetAtt": [f"Model{number}", "ModelName"]}, "VariantName": "model"}
    return [{**named, "InitialVariantWeight": 1, "ServerlessConfig": serverless}]


def config(number: int) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [f"Config{number}", "EndpointConfigName"]}


TAGS = ([{"Key": "team", "Value": "first"}], [{"Key": "team", "Value": "second"}])
EVERYBODY = {"Principal": {"AWS": "*"}}
ROLES = (f"arn:aws:iam::{ACCOUNT}:role/first", f"arn:aws:iam::{ACCOUNT}:role/second")
LOAD_BALANCER, TARGETS = (f"ElasticLoadBalancingV2::{name}" for name in ("LoadBalancer", "TargetGroup"))
AROUND = {
    "Vpc": a("EC2::VPC", CidrBlock="10.0.0.0/16"),
    "Peer": a("EC2::VPC", CidrBlock="10.1.0.0/16"),
    "Table": a("EC2::RouteTable", VpcId=ref("Vpc")),
    "Bucket": a("S3::Bucket", BucketName="around"),
    "Topic": a("SNS::Topic", TopicName="around"),
    **{
        f"{kind}{number}": resource
        for number in (1, 2)
        for kind, resource in {
            "Group": a("EC2::SecurityGroup", GroupDescription="x", VpcId=ref("Vpc")),
            "Subnet": a("EC2::Subnet", VpcId=ref("Vpc"), CidrBlock=f"10.0.{number}.0/24"),
            "Peering": a("EC2::VPCPeeringConnection", VpcId=ref("Vpc"), PeerVpcId=ref("Peer")),
            "Key": a("KMS::Key", KeyPolicy=policy("kms:*", **EVERYBODY)),
            "Role": a("IAM::Role", RoleName=f"around-{number}", AssumeRolePolicyDocument=trust("states")),
            "Managed": a("IAM::ManagedPolicy", PolicyDocument=policy("s3:*")),
            "Model": a("SageMaker::Model", ModelName=f"model-{number}", ExecutionRoleArn=ROLES[0]),
            "Config": a("SageMaker::EndpointConfig", ProductionVariants=variant(number)),
            "Balancer": a(LOAD_BALANCER, Type="network", Scheme="internal", Subnets=[ref("Subnet1")]),
            "Targets": a(TARGETS, Port=9092, Protocol="TCP", TargetType="ip", VpcId=ref("Vpc")),
            "Service": a("EC2::VPCEndpointService", NetworkLoadBalancerArns=[ref("Balancer1")]),
        }.items()
    },
}
NOTEBOOK = {"NotebookInstanceName": "book", "InstanceType": "ml.t3.medium", "RoleArn": ROLES[0]}
BASE: dict[str, dict[str, Any]] = {
    "CloudWatch::Alarm": {
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "Metrics": metric("m"),
    },
    "CloudWatch::Alarm/of one metric": {
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 1,
        "Threshold": 1,
    },
    "CloudWatch::Dashboard": {},
    "EC2::FlowLog": {
        "ResourceId": ref("Vpc"),
        "ResourceType": "VPC",
        "TrafficType": "ALL",
        "LogGroupName": "x",
    }
    | {"DeliverLogsPermissionArn": ROLES[0]},
    "EC2::Route": {"RouteTableId": ref("Table"), "DestinationCidrBlock": "10.1.0.0/16"},
    "EC2::RouteTable": {"VpcId": ref("Vpc")},
    "EC2::SecurityGroup": {"VpcId": ref("Vpc"), "GroupDescription": "x"},
    "EC2::SecurityGroupIngress": {"GroupId": ref("Group1"), **rule("10.7.0.0/16")[0]},
    "EC2::Subnet": {"VpcId": ref("Vpc"), "CidrBlock": "10.0.9.0/24"},
    "EC2::VPC": {"CidrBlock": "10.9.0.0/16"},
    "EC2::VPCEndpoint": {"VpcId": ref("Vpc"), "ServiceName": "com.amazonaws.eu-west-1.states"}
    | {"VpcEndpointType": "Interface", "SubnetIds": [ref("Subnet1")]},
    "EC2::VPCPeeringConnection": {"VpcId": ref("Vpc"), "PeerVpcId": ref("Peer")},
    "EC2::VPCEndpointServicePermissions": {"ServiceId": ref("Service1")},
    LOAD_BALANCER: {"Type": "network", "Scheme": "internal", "Subnets": [ref("Subnet1")]},
    TARGETS: {"Port": 9092, "Protocol": "TCP", "TargetType": "ip", "VpcId": ref("Vpc")},
    "ElasticLoadBalancingV2::Listener": {"LoadBalancerArn": ref("Balancer1"), "Protocol": "TCP"},
    "ECR::Repository": {"RepositoryName": "images"},
    "DynamoDB::Table": {
        "AttributeDefinitions": [{"AttributeName": "client", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "client", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    },
    "Events::Rule": {"EventPattern": {"source": ["x"]}},
    "IAM::ManagedPolicy": {},
    "IAM::Policy": {"PolicyName": "inline", "PolicyDocument": policy("s3:*"), "Roles": [ref("Role1")]},
    "IAM::Role": {"AssumeRolePolicyDocument": trust("states")},
    "KMS::Alias": {"AliasName": "alias/around"},
    "KMS::Key": {"KeyPolicy": policy("kms:*", **EVERYBODY)},
    "SNS::Subscription": {"TopicArn": ref("Topic"), "Protocol": "email", "Endpoint": "ops@example.org"},
    "SNS::TopicPolicy": {"Topics": [ref("Topic")]},
    "S3::BucketPolicy": {"Bucket": ref("Bucket")},
    "SSM::Parameter": {"Name": "/p", "Type": "String", "Value": "on"},
    "SageMaker::Endpoint": {"EndpointName": "end"},
    "SageMaker::EndpointConfig": {"EndpointConfigName": "config", "ProductionVariants": variant(1)},
    "SageMaker::Model": {"ModelName": "model", "ExecutionRoleArn": ROLES[0]},
    "SageMaker::NotebookInstance": NOTEBOOK,
    "SageMaker::NotebookInstanceLifecycleConfig": {"NotebookInstanceLifecycleConfigName": "script"},
    "Scheduler::Schedule": {"Name": "runs"},
    "StepFunctions::StateMachine": {"DefinitionString": machine("x"), "RoleArn": ROLES[0]},
}
