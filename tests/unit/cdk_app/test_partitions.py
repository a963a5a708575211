"""Every AWS partition in which a Region is offered: no ARN of another one, no endpoint of another one."""

from __future__ import annotations

import re

import pytest
from assembly import NORTH, Assembly, Synthesise, Template, example, of_type, one, plain


@pytest.fixture(scope="module")
def gov(synthesise: Synthesise) -> Assembly:
    data = example()
    for place in (data["server"], *data["clients"]):
        place |= {"region": "us-gov-west-1", "availability_zones": ["us-gov-west-1a", "us-gov-west-1b"]}
        place |= {"key_arn": None}
    for client in data["clients"]:
        client |= {"kickoff_endpoint": None, "peering_id": None, "vpc": None}
    data["server"]["vpc_id"] = None
    return synthesise(data)


def test_no_arn_is_of_another_partition(gov: Assembly) -> None:
    for stack, template in gov.templates.items():
        found = set(re.findall(r"arn:aws(?:-[a-z-]+)?:[a-z]*", plain({"Fn::Join": ["", [str(template)]]})))
        assert {arn for arn in found if not arn.startswith("arn:aws-us-gov:")} == set(), stack


def test_the_state_machine_calls_services_of_its_own_partition(
    gov: Assembly, templates: dict[str, Template]
) -> None:
    for template, partition in ((templates[NORTH], "aws"), (next(iter(clients(gov))), "aws-us-gov")):
        for machine in of_type(template, "StepFunctions::StateMachine").values():
            text = plain(machine["DefinitionString"])
            assert set(re.findall(r"arn:[a-z-]+:states:::", text)) == {f"arn:{partition}:states:::"}


def clients(assembly: Assembly) -> list[Template]:
    return [template for stack, template in assembly.templates.items() if "-client-" in stack]


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
