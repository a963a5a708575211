"""Every AWS partition in which a Region is offered: no ARN of another one, no endpoint of another one."""

from __future__ import annotations

import json
import re

import pytest
from assembly import NORTH, Assembly, Template, of_type, one, plain

from cdk_app.regions import interface_service, service_of
from cdk_app.review.review import review

REGIONS = ("cn-north-1", "cn-northwest-1")


PARTITIONS = {"gov": "aws-us-gov", "china": "aws-cn"}


@pytest.mark.parametrize("where", PARTITIONS)
def test_no_arn_is_of_another_partition(where: str, request: pytest.FixtureRequest) -> None:
    assembly: Assembly = request.getfixturevalue(where)
    for stack, template in assembly.templates.items():
        found = set(re.findall(r"arn:aws(?:-[a-z-]+)?:[a-z]*", str(template)))
        assert {arn for arn in found if not arn.startswith(f"arn:{PARTITIONS[where]}:")} == set(), stack


@pytest.mark.parametrize("where", PARTITIONS)
def test_the_state_machine_calls_services_of_its_own_partition(
    where: str, request: pytest.FixtureRequest
) -> None:
    assembly: Assembly = request.getfixturevalue(where)
    clients = [template for stack, template in assembly.templates.items() if "-client-" in stack]
    for template in clients:
        for machine in of_type(template, "StepFunctions::StateMachine").values():
            text = str(machine["DefinitionString"])
            assert set(re.findall(r"arn:[a-z-]+:states:::", text)) == {f"arn:{PARTITIONS[where]}:states:::"}


@pytest.mark.parametrize("where", PARTITIONS)
def test_a_client_s_template_of_every_partition_passes_the_review(
    where: str, request: pytest.FixtureRequest
) -> None:
    assembly: Assembly = request.getfixturevalue(where)
    for stack in (stack for stack in assembly.templates if "-client-" in stack):
        reviewed = review((assembly.folder / f"{stack}.template.json").read_bytes())
        assert reviewed.passed, [str(problem) for problem in reviewed.problems]


def test_china_s_hosts_have_a_domain_of_their_own(china: Assembly) -> None:
    """Principals of AWS's services have none there, but for CloudWatch Logs'."""
    text = json.dumps(china.templates)
    hosts = set(re.findall(r"[a-z0-9.-]*amazonaws\.com(?!\.cn)", text))
    services = ("cloudwatch", "events", "logging.s3", "sagemaker", "states", "vpc-flow-logs")
    gateway = {"com.amazonaws"}
    assert hosts - gateway <= {f"{service}.amazonaws.com" for service in services}
    assert "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-scikit-learn" in text
    assert "logs.cn-northwest-1.amazonaws.com.cn" in text
    assert "s3.cn-north-1.amazonaws.com.cn" in text


def test_china_s_endpoints_are_called_as_ec2_calls_them(china: Assembly) -> None:
    found = {
        plain(endpoint["ServiceName"]).replace("<AWS::Region>", region)
        for stack, template in china.templates.items()
        for region in re.findall(r"cn-north(?:west)?-1$", stack)
        for endpoint in of_type(template, "EC2::VPCEndpoint").values()
    }
    assert found == {
        *(f"com.amazonaws.{region}.{name}" for region in REGIONS for name in ("s3", "kms")),
        *(f"cn.com.amazonaws.cn-north-1.{name}" for name in ("sts", "states", "sagemaker.api")),
        "cn.com.amazonaws.cn-northwest-1.states",
        "cn.com.amazonaws.cn-northwest-1.s3",
    }


@pytest.mark.parametrize("region", ["cn-north-1", "cn-northwest-1", "us-gov-west-1", "eu-west-1"])
def test_an_endpoint_is_called_as_cdk_calls_it(region: str) -> None:
    import aws_cdk as cdk
    from aws_cdk import aws_ec2 as ec2

    stack = cdk.Stack(cdk.App(), "names", env=cdk.Environment(account="1", region=region))
    for name in ("sts", "states", "sagemaker.api", "elasticloadbalancing", "ssm", "kms", "s3"):
        theirs = stack.resolve(ec2.InterfaceVpcEndpointAwsService(name).name)
        assert interface_service(name, region) == theirs
        assert service_of(theirs, region) == name


def test_the_participation_switch_is_in_no_stack(templates: dict[str, Template]) -> None:
    """CloudFormation puts a parameter's value back at every update: off would be on again."""
    for template in templates.values():
        for parameter in of_type(template, "SSM::Parameter").values():
            assert not parameter["Name"].endswith("/participation")


def test_a_job_knows_its_region(templates: dict[str, Template]) -> None:
    machine = next(iter(of_type(templates[NORTH], "StepFunctions::StateMachine").values()))
    assert '"Environment":{"AWS_DEFAULT_REGION":"eu-west-1"}' in plain(machine["DefinitionString"])


def test_s3_of_another_region_answers_all_who_ask_in_the_network(templates: dict[str, Template]) -> None:
    server = next(template for stack, template in templates.items() if stack.startswith("cms-server-1"))
    far = [
        endpoint
        for endpoint in of_type(server, "EC2::VPCEndpoint").values()
        if endpoint.get("ServiceRegion") == "eu-central-1"
    ]
    [endpoint] = far
    assert endpoint["PrivateDnsEnabled"] is True
    assert endpoint["DnsOptions"] == {"PrivateDnsOnlyForInboundResolverEndpoint": "AllResolvers"}


def test_the_dashboard_finds_jobs_by_the_words_of_their_names(templates: dict[str, Template]) -> None:
    """Quoted, a term of CloudWatch's SEARCH is a whole value, and no host is named like a prefix."""
    board = plain(one(templates[NORTH], "CloudWatch::Dashboard")["DashboardBody"])
    assert (
        'MetricName=\\\\"CPUUtilization\\\\" cms north algo' in board
        or 'CPUUtilization\\" cms north algo' in board
    )
    assert "Host=" not in board
