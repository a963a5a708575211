"""For each updatable property an old and a new value, and the call that shows which one is there."""

from __future__ import annotations

from typing import Any

from property_values import (
    EVERYBODY,
    ROLES,
    TAGS,
    config,
    encryption,
    expiry,
    lifecycle,
    logging,
    machine,
    metric,
    policy,
    public_access,
    ref,
    rule,
    scheduled,
    trust,
)

SERVICE = "describe_vpc_endpoint_service_configurations ServiceIds[]=id"
TARGET_GROUP = "describe_target_groups TargetGroupArns[]=id"
CASES: dict[str, dict[str, tuple[Any, Any, str]]] = {
    "CloudWatch::Alarm": {
        "AlarmActions": ([ref("Topic")], ["arn:aws:sns:eu-west-1:1:other"], "describe_alarms"),
        "AlarmDescription": ("first", "second", "describe_alarms"),
        "ComparisonOperator": ("LessThanThreshold", "GreaterThanOrEqualToThreshold", "describe_alarms"),
        "EvaluationPeriods": (51, 52, "describe_alarms"),
        "Metrics": (metric("first"), metric("second"), "describe_alarms"),
        "Threshold": (51, 52, "describe_alarms"),
        "TreatMissingData": ("missing", "breaching", "describe_alarms"),
        "Tags": (*TAGS, "list_tags_for_resource ResourceARN=Arn"),
    },
    "CloudWatch::Alarm/of one metric": {
        "MetricName": ("first", "second", "describe_alarms"),
        "Namespace": ("first", "second", "describe_alarms"),
        "Dimensions": (
            [{"Name": "d", "Value": "first"}],
            [{"Name": "d", "Value": "second"}],
            "describe_alarms",
        ),
        "Statistic": ("Sum", "Maximum", "describe_alarms"),
        "Period": (60, 120, "describe_alarms"),
    },
    "CloudWatch::Dashboard": {
        "DashboardBody": ('{"widgets": []}', '{"widgets": [1]}', "get_dashboard DashboardName=id")
    },
    "EC2::FlowLog": {"Tags": (*TAGS, "describe_flow_logs FlowLogIds[]=id")},
    "EC2::Route": {"VpcPeeringConnectionId": (ref("Peering1"), ref("Peering2"), "describe_route_tables")},
    "EC2::RouteTable": {"Tags": (*TAGS, "describe_route_tables RouteTableIds[]=id")},
    "EC2::SecurityGroup": {
        "SecurityGroupIngress": (
            rule("10.7.0.0/16"),
            rule("10.8.0.0/16"),
            "describe_security_groups GroupIds[]=id",
        ),
        "SecurityGroupEgress": (
            rule("10.7.0.0/16"),
            rule("10.8.0.0/16"),
            "describe_security_groups GroupIds[]=id",
        ),
        "Tags": (*TAGS, "describe_security_groups GroupIds[]=id"),
    },
    "EC2::Subnet": {
        "MapPublicIpOnLaunch": (False, True, "describe_subnets SubnetIds[]=id"),
        "Tags": (*TAGS, "describe_subnets SubnetIds[]=id"),
    },
    "EC2::VPC": {
        "EnableDnsSupport": (True, False, "describe_vpc_attribute VpcId=id Attribute='enableDnsSupport'"),
        "EnableDnsHostnames": (False, True, "describe_vpc_attribute VpcId=id Attribute='enableDnsHostnames'"),
        "Tags": (*TAGS, "describe_vpcs VpcIds[]=id"),
    },
    "EC2::VPCEndpointService": {
        "AcceptanceRequired": (True, False, SERVICE),
        "NetworkLoadBalancerArns": ([ref("Balancer1")], [ref("Balancer2")], SERVICE),
        "SupportedRegions": (["eu-central-1"], ["eu-west-2"], SERVICE),
        "Tags": (*TAGS, SERVICE),
    },
    "EC2::VPCEndpointServicePermissions": {
        "AllowedPrincipals": (
            [ROLES[0]],
            [ROLES[1]],
            "describe_vpc_endpoint_service_permissions ServiceId",
        ),
    },
    "ElasticLoadBalancingV2::LoadBalancer": {
        "SecurityGroups": ([ref("Group1")], [ref("Group2")], "describe_load_balancers LoadBalancerArns[]=id"),
        "LoadBalancerAttributes": (
            [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}],
            [{"Key": "load_balancing.cross_zone.enabled", "Value": "false"}],
            "describe_load_balancer_attributes LoadBalancerArn=id",
        ),
        "Tags": (*TAGS, "describe_tags ResourceArns[]=id"),
    },
    "ElasticLoadBalancingV2::TargetGroup": {
        "HealthCheckProtocol": ("TCP", "HTTP", TARGET_GROUP),
        "HealthCheckIntervalSeconds": (11, 12, TARGET_GROUP),
        "HealthyThresholdCount": (3, 4, TARGET_GROUP),
        "UnhealthyThresholdCount": (6, 7, TARGET_GROUP),
        "TargetGroupAttributes": (
            [{"Key": "deregistration_delay.timeout_seconds", "Value": "51"}],
            [{"Key": "deregistration_delay.timeout_seconds", "Value": "52"}],
            "describe_target_group_attributes TargetGroupArn=id",
        ),
        "Tags": (*TAGS, "describe_tags ResourceArns[]=id"),
    },
    "ElasticLoadBalancingV2::Listener": {
        "Port": (9092, 9093, "describe_listeners ListenerArns[]=id"),
        "DefaultActions": (
            [{"Type": "forward", "TargetGroupArn": ref("Targets1")}],
            [{"Type": "forward", "TargetGroupArn": ref("Targets2")}],
            "describe_listeners ListenerArns[]=id",
        ),
        "Tags": (*TAGS, "describe_tags ResourceArns[]=id"),
    },
    "EC2::VPCEndpoint": {
        "PolicyDocument": (
            policy("states:A"),
            policy("states:B"),
            "describe_vpc_endpoints VpcEndpointIds[]=id",
        ),
        "SecurityGroupIds": ([ref("Group1")], [ref("Group2")], "describe_vpc_endpoints VpcEndpointIds[]=id"),
        "SubnetIds": ([ref("Subnet1")], [ref("Subnet2")], "describe_vpc_endpoints VpcEndpointIds[]=id"),
        "Tags": (*TAGS, "describe_vpc_endpoints VpcEndpointIds[]=id"),
    },
    "EC2::VPCPeeringConnection": {
        "Tags": (*TAGS, "describe_vpc_peering_connections VpcPeeringConnectionIds[]=id")
    },
    "ECR::Repository": {
        "ImageTagMutability": ("MUTABLE", "IMMUTABLE", "describe_repositories"),
        "LifecyclePolicy": (expiry(51), expiry(52), "get_lifecycle_policy repositoryName=id"),
        "RepositoryPolicyText": (
            policy("ecr:A", **EVERYBODY),
            policy("ecr:B", **EVERYBODY),
            "get_repository_policy repositoryName=id",
        ),
    },
    "DynamoDB::Table": {"Tags": (*TAGS, "list_tags_of_resource ResourceArn=Arn")},
    "Events::Rule": {
        "ScheduleExpression": ("rate(5 minutes)", "rate(15 minutes)", "describe_rule Name=id"),
        "EventPattern": ({"source": ["first"]}, {"source": ["second"]}, "describe_rule Name=id"),
        "Description": ("first", "second", "describe_rule Name=id"),
        "State": ("ENABLED", "DISABLED", "describe_rule Name=id"),
        "Targets": (
            [{"Id": "one", "Arn": ref("Topic"), "RoleArn": ROLES[0]}],
            [{"Id": "two", "Arn": ref("Topic"), "RoleArn": ROLES[0]}],
            "list_targets_by_rule Rule=id",
        ),
        "Tags": (*TAGS, "list_tags_for_resource ResourceARN=Arn"),
    },
    "IAM::ManagedPolicy": {
        "PolicyDocument": (policy("s3:A"), policy("s3:B"), "list_policy_versions PolicyArn=id")
    },
    "IAM::Policy": {
        "PolicyDocument": (policy("s3:A"), policy("s3:B"), "get_account_authorization_details"),
        "Roles": ([ref("Role1")], [ref("Role2")], "get_account_authorization_details"),
    },
    "IAM::Role": {
        "AssumeRolePolicyDocument": (trust("states"), trust("events"), "get_role RoleName=id"),
        "Description": ("first", "second", "get_role RoleName=id"),
        "MaxSessionDuration": (3601, 3602, "get_role RoleName=id"),
        "ManagedPolicyArns": (
            [ref("Managed1")],
            [ref("Managed2")],
            "list_attached_role_policies RoleName=id",
        ),
        "PermissionsBoundary": (ref("Managed1"), ref("Managed2"), "get_role RoleName=id"),
        "Policies": (
            [{"PolicyName": "first", "PolicyDocument": policy("s3:*")}],
            [{"PolicyName": "second", "PolicyDocument": policy("s3:*")}],
            "get_account_authorization_details",
        ),
        "Tags": (*TAGS, "list_role_tags RoleName=id"),
    },
    "KMS::Alias": {"TargetKeyId": (ref("Key1"), ref("Key2"), "list_aliases")},
    "KMS::Key": {
        "KeyPolicy": (
            policy("kms:A*", **EVERYBODY),
            policy("kms:B*", **EVERYBODY),
            "get_key_policy KeyId=id PolicyName='default'",
        ),
        "Description": ("first", "second", "describe_key KeyId=id"),
        "EnableKeyRotation": (False, True, "get_key_rotation_status KeyId=id"),
        "Tags": (*TAGS, "list_resource_tags KeyId=id"),
    },
    "Logs::LogGroup": {
        "RetentionInDays": (3, 5, "describe_log_groups"),
        "Tags": (*TAGS, "list_tags_log_group logGroupName=id"),
    },
    "S3::Bucket": {
        "BucketEncryption": (encryption("first"), encryption("second"), "get_bucket_encryption Bucket=id"),
        "LifecycleConfiguration": (
            lifecycle(51),
            lifecycle(52),
            "get_bucket_lifecycle_configuration Bucket=id",
        ),
        "OwnershipControls": (
            {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]},
            {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "get_bucket_ownership_controls Bucket=id",
        ),
        "PublicAccessBlockConfiguration": (
            public_access(blocked=False),
            public_access(blocked=True),
            "get_public_access_block Bucket=id",
        ),
        "Tags": (*TAGS, "get_bucket_tagging Bucket=id"),
        "VersioningConfiguration": (
            {"Status": "Enabled"},
            {"Status": "Suspended"},
            "get_bucket_versioning Bucket=id",
        ),
    },
    "S3::BucketPolicy": {
        "PolicyDocument": (
            policy("s3:A", **EVERYBODY),
            policy("s3:B", **EVERYBODY),
            "get_bucket_policy Bucket=id",
        )
    },
    "SNS::Topic": {
        "KmsMasterKeyId": ("first", "second", "get_topic_attributes TopicArn=id"),
        "Tags": (*TAGS, "list_tags_for_resource ResourceArn=id"),
    },
    "SNS::TopicPolicy": {
        "PolicyDocument": (policy("sns:A"), policy("sns:B"), "get_topic_attributes TopicArn=Topics.0")
    },
    "SSM::Parameter": {
        "Value": ("on", "off", "get_parameter Name=id"),
        "Description": ("first", "second", "describe_parameters"),
        "AllowedPattern": ("on|off", "off|on", "describe_parameters"),
        "Tags": (
            {"team": "first"},
            {"team": "second"},
            "list_tags_for_resource ResourceType='Parameter' ResourceId=id",
        ),
    },
    "SageMaker::Endpoint": {
        "EndpointConfigName": (config(1), config(2), "describe_endpoint EndpointName=name"),
        "Tags": (*TAGS, "list_tags ResourceArn=id"),
    },
    "SageMaker::EndpointConfig": {"Tags": (*TAGS, "list_tags ResourceArn=id")},
    "SageMaker::Model": {"Tags": (*TAGS, "list_tags ResourceArn=id")},
    "SageMaker::NotebookInstance": {
        "InstanceType": (
            "ml.t3.medium",
            "ml.t3.large",
            "describe_notebook_instance NotebookInstanceName=name",
        ),
        "LifecycleConfigName": ("first", "second", "describe_notebook_instance NotebookInstanceName=name"),
        "RoleArn": (*ROLES, "describe_notebook_instance NotebookInstanceName=name"),
        "RootAccess": ("Enabled", "Disabled", "describe_notebook_instance NotebookInstanceName=name"),
        "VolumeSizeInGB": (51, 52, "describe_notebook_instance NotebookInstanceName=name"),
        "Tags": (*TAGS, "list_tags ResourceArn=id"),
    },
    "SageMaker::NotebookInstanceLifecycleConfig": {
        "OnStart": (
            [{"Content": "Zmlyc3Q="}],
            [{"Content": "c2Vjb25k"}],
            "describe_notebook_instance_lifecycle_config NotebookInstanceLifecycleConfigName=id",
        )
    },
    "Scheduler::Schedule": {
        "Description": ("first", "second", "get_schedule Name=id"),
        "FlexibleTimeWindow": (
            {"Mode": "OFF"},
            {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 7},
            "get_schedule Name=id",
        ),
        "ScheduleExpression": ("cron(1 2 ? * MON *)", "cron(3 4 ? * TUE *)", "get_schedule Name=id"),
        "ScheduleExpressionTimezone": ("UTC", "Europe/Berlin", "get_schedule Name=id"),
        "State": ("ENABLED", "DISABLED", "get_schedule Name=id"),
        "Target": (scheduled("first", 1), scheduled("second", 2), "get_schedule Name=id"),
    },
    "StepFunctions::StateMachine": {
        "DefinitionString": (
            machine("first"),
            machine("second"),
            "describe_state_machine stateMachineArn=id",
        ),
        "LoggingConfiguration": (
            logging("ALL"),
            logging("ERROR"),
            "describe_state_machine stateMachineArn=id",
        ),
        "RoleArn": (*ROLES, "describe_state_machine stateMachineArn=id"),
        "Tags": (*TAGS, "list_tags_for_resource resourceArn=id"),
        "TracingConfiguration": (
            {"Enabled": False},
            {"Enabled": True},
            "describe_state_machine stateMachineArn=id",
        ),
    },
}
UNSEEN = {("AWS::KMS::Key", "PendingWindowInDays")}  # of effect only on deletion
