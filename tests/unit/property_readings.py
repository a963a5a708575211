"""For each type what the other tables of values do not set, and the calls that show what was asked for."""

from __future__ import annotations

from typing import Any

from moto_stack import ACCOUNT, REGION
from property_values import ref

MORE: dict[str, dict[str, Any]] = {
    "CloudWatch::Alarm": {"AlarmName": "alarm"},
    "CloudWatch::Dashboard": {"DashboardName": "board"},
    "DynamoDB::Table": {"TableName": "table"},
    "EC2::FlowLog": {"LogDestinationType": "cloud-watch-logs"},
    "EC2::SecurityGroup": {"GroupName": "group"},
    "EC2::Subnet": {"AvailabilityZone": "eu-west-1b"},
    "EC2::SubnetRouteTableAssociation": {"RouteTableId": ref("Table"), "SubnetId": ref("Subnet1")},
    "EC2::VPC": {"InstanceTenancy": "dedicated"},
    "EC2::VPCEndpoint": {"PrivateDnsEnabled": True, "RouteTableIds": [ref("Table")]},
    "ElasticLoadBalancingV2::LoadBalancer": {"Name": "balancer"},
    "ElasticLoadBalancingV2::TargetGroup": {"Name": "targets"},
    "EC2::VPCPeeringConnection": {"PeerRegion": REGION, "PeerOwnerId": ACCOUNT},
    "Events::Rule": {"Name": "rule"},
    "IAM::ManagedPolicy": {"ManagedPolicyName": "policy", "Path": "/way/", "Description": "why"},
    "IAM::Role": {"RoleName": "role", "Path": "/way/"},
    "KMS::Key": {"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"},
    "Logs::LogGroup": {"LogGroupName": "group", "KmsKeyId": "arn:aws:kms:eu-west-1:123456789012:key/a"},
    "S3::Bucket": {"BucketName": "bucket", "AccessControl": "Private"},
    "SNS::Topic": {"TopicName": "topic"},
    "SageMaker::EndpointConfig": {"KmsKeyId": "1234"},
    "SageMaker::Model": {
        "PrimaryContainer": {"ModelPackageName": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/m/1"},
        "VpcConfig": {"Subnets": [ref("Subnet1")], "SecurityGroupIds": [ref("Group1")]},
    },
    "SageMaker::NotebookInstance": {
        "DirectInternetAccess": "Disabled",
        "KmsKeyId": "1234",
        "SubnetId": ref("Subnet1"),
        "SecurityGroupIds": [ref("Group1")],
    },
    "StepFunctions::StateMachine": {"StateMachineName": "machine"},
}
NOT_READ = {
    "EC2::VPCEndpoint": {"ServiceRegion"},  # whether there is such a service: test_endpoint_services
    "EC2::VPCPeeringConnection": {"PeerRoleArn"},  # who accepts; tests of the whole journey need it
    "KMS::Key": {"PendingWindowInDays"},  # the deletion says it
}
NOT_SHOWN = {
    "EC2::FlowLog": {"ResourceType"},  # moto shows the resource's id, whose prefix says the same
    "S3::Bucket": {"ACL"},  # `private` alone is known, which is what every bucket is
    "SNS::TopicPolicy": {"AttributeName"},
}
RENAMED = {  # what answers call an argument
    "AddAllowedPrincipals": "AllowedPrincipals.Principal",
    "AttributeValue": "Policy",
    "LifecycleConfigName": "NotebookInstanceLifecycleConfigName",
    "MapPublicIpOnLaunch.Value": "MapPublicIpOnLaunch",
    "Name": "LoadBalancerName TargetGroupName",
    "PeerOwnerId": "AccepterVpcInfo.OwnerId",
    "PeerRegion": "AccepterVpcInfo.Region",
    "PeerVpcId": "AccepterVpcInfo.VpcId",
    "PermissionsBoundary": "PermissionsBoundaryArn",
    "PolicyDocument": "Document",
    "ResourceIds": "ResourceId",
    "SecurityGroupIds": "SecurityGroups Groups.GroupId",
    "Subnets": "AvailabilityZones.SubnetId",
    "SupportedRegions": "SupportedRegions.Region",
    "Tags": "TagList",
}
READINGS: dict[str, list[str]] = {
    "DynamoDB::Table": ["describe_table TableName=id"],
    "EC2::Route": ["describe_route_tables RouteTableIds[]=RouteTableId"],
    "EC2::SecurityGroupIngress": ["describe_security_groups GroupIds[]=GroupId"],
    "EC2::SubnetRouteTableAssociation": ["describe_route_tables RouteTableIds[]=RouteTableId"],
    "EC2::VPC": ["describe_vpcs VpcIds[]=id"],
    "IAM::ManagedPolicy": ["get_policy PolicyArn=id"],
    "KMS::Alias": ["list_aliases"],
    "S3::Bucket": ["head_bucket Bucket=id", "get_bucket_acl Bucket=id", "get_bucket_location Bucket=id"],
    "SNS::Subscription": ["list_subscriptions"],
    "SSM::Parameter": ["get_parameter Name=id", "describe_parameters"],
    "SageMaker::EndpointConfig": ["describe_endpoint_config EndpointConfigName"],
    "SageMaker::Model": ["describe_model ModelName"],
}
