"""What is left in an account after everything was destroyed: its data, which are kept, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

GetClient = Callable[[str], Any]

DEFAULTS: Final = ("default", "AWSServiceRole")
"""What every account has, whoever uses it."""
BOOTSTRAP: Final = ("cdk-hnb659fds-", "CDKToolkit", "/cdk-bootstrap/")
"""What `cdk bootstrap` made, which serves every stack of the account and stays."""


def residue(client: GetClient, qualifier: str | None = None) -> dict[str, list[str]]:
    """Return what there is in an account and Region beside the bootstrap's own, by kind."""
    bootstrap = BOOTSTRAP if qualifier is None else (*BOOTSTRAP, f"cdk-{qualifier}-")
    found = {
        kind: sorted(n for n in look(client) if not n.startswith(bootstrap)) for kind, look in _LOOKS.items()
    }
    return {kind: names for kind, names in found.items() if names}


def kept_on_purpose(found: Mapping[str, list[str]], retained: set[str]) -> dict[str, list[str]]:
    """Return what is left of a residue once what the stacks retained is taken out."""
    rest = {kind: [name for name in names if name not in retained] for kind, names in found.items()}
    return {kind: names for kind, names in rest.items() if names}


def _vpcs(client: GetClient) -> Iterator[str]:
    for vpc in client("ec2").describe_vpcs()["Vpcs"]:
        if not vpc["IsDefault"]:
            yield vpc["VpcId"]


def _peerings(client: GetClient) -> Iterator[str]:
    for one in client("ec2").describe_vpc_peering_connections()["VpcPeeringConnections"]:
        if one["Status"]["Code"] != "deleted":
            yield one["VpcPeeringConnectionId"]


def _balancers(client: GetClient) -> Iterator[str]:
    for each in client("elbv2").describe_load_balancers()["LoadBalancers"]:
        yield each["LoadBalancerArn"]
    for each in client("elbv2").describe_target_groups()["TargetGroups"]:
        yield each["TargetGroupArn"]


def _endpoints(client: GetClient) -> Iterator[str]:
    for one in client("ec2").describe_vpc_endpoints()["VpcEndpoints"]:
        if one["State"].lower() != "deleted":
            yield one["VpcEndpointId"]


def _security_groups(client: GetClient) -> Iterator[str]:
    for group in client("ec2").describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] != "default":
            yield group["GroupId"]


def _keys(client: GetClient) -> Iterator[str]:
    for one in client("kms").list_keys()["Keys"]:
        described = client("kms").describe_key(KeyId=one["KeyId"])["KeyMetadata"]
        if described["KeyState"] != "PendingDeletion" and described["KeyManager"] == "CUSTOMER":
            yield one["KeyId"]


def _listed(
    service: str, operation: str, list_key: str, name_key: str, **asked: Any
) -> Callable[[GetClient], Iterator[str]]:
    """Return a look at a list that an API gives, by its names."""

    def look(client: GetClient) -> Iterator[str]:
        for one in getattr(client(service), operation)(**asked)[list_key]:
            yield one[name_key] if name_key else one

    return look


_LOOKS: Final[Mapping[str, Callable[[GetClient], Iterator[str]]]] = {
    "stacks": _listed("cloudformation", "describe_stacks", "Stacks", "StackName"),
    "buckets": _listed("s3", "list_buckets", "Buckets", "Name"),
    "keys": _keys,
    "roles": _listed("iam", "list_roles", "Roles", "RoleName"),
    "policies": _listed("iam", "list_policies", "Policies", "Arn", Scope="Local"),
    "VPCs": _vpcs,
    "peerings": _peerings,
    "endpoints": _endpoints,
    "load balancers": _balancers,
    "endpoint services": _listed(
        "ec2", "describe_vpc_endpoint_service_configurations", "ServiceConfigurations", "ServiceId"
    ),
    "security groups": _security_groups,
    "flow logs": _listed("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    "state machines": _listed("stepfunctions", "list_state_machines", "stateMachines", "name"),
    "parameters": _listed("ssm", "describe_parameters", "Parameters", "Name"),
    "topics": _listed("sns", "list_topics", "Topics", "TopicArn"),
    "rules": _listed("events", "list_rules", "Rules", "Name"),
    "alarms": _listed("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "dashboards": _listed("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    "notebooks": _listed("sagemaker", "list_notebook_instances", "NotebookInstances", "NotebookInstanceName"),
    "schedules": _listed("scheduler", "list_schedules", "Schedules", "Name"),
    "models": _listed("sagemaker", "list_models", "Models", "ModelName"),
    "served endpoints": _listed("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "log groups": _listed("logs", "describe_log_groups", "logGroups", "logGroupName"),
}
