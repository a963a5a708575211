"""Who can have a peering with the server's VPC accepted: one deployer of each client, once."""

from __future__ import annotations

from typing import Any

import pytest
from assembly import PEER_NORTH, SERVER, Synthesise, Template, example
from iam_statements import statements

from rehearsal.aws.policy import Decision, Request, account_names, evaluate, evaluate_resource

ACCEPTER = "AccepternorthRoleD2F9C9AB"
DEPLOYER = "arn:aws:iam::222222222222:role/cdk-hnb659fds-cfn-exec-role-222222222222-eu-west-1"
SERVER_VPC = "arn:aws:ec2:eu-west-1:111111111111:vpc/<NetworkVpc7FB7348F>"
PEERING = "arn:aws:ec2:eu-west-1:111111111111:vpc-peering-connection/pcx-0123456789abcdef0"


def may_take(role: dict[str, Any], arn: str) -> bool:
    account = arn.split(":")[4]
    context = {"aws:PrincipalArn": arn, "aws:PrincipalAccount": account}
    request = Request("sts:AssumeRole", "the role", context)
    decided = evaluate_resource({"Statement": role["trust"]}, request, (arn, *account_names(account)))
    return decided is Decision.ALLOW


def may_accept(*grants: list[Any], accepter: str = SERVER_VPC, requester: str) -> bool:
    policy = {"Statement": [statement for each in grants for statement in each]}
    about = {"ec2:AccepterVpc": accepter, "ec2:RequesterVpc": requester}
    asked = (Request("ec2:AcceptVpcPeeringConnection", *each) for each in ((accepter, {}), (PEERING, about)))
    return all(evaluate([policy], request) is Decision.ALLOW for request in asked)


def vpc(account: str = "222222222222", region: str = "eu-west-1", name: str = "vpc-1") -> str:
    return f"arn:aws:ec2:{region}:{account}:vpc/{name}"


def test_the_deployer_of_a_client_s_stack_has_its_peering_accepted(templates: dict[str, Template]) -> None:
    role = statements(templates[SERVER])[ACCEPTER]
    assert may_take(role, DEPLOYER)
    assert may_accept(role["grants"], requester=vpc())


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::222222222222:user/administrator",
        "arn:aws:iam::222222222222:role/Admin",
        "arn:aws:iam::222222222222:root",
        "arn:aws:iam::222222222222:role/FL-kickoff-client-job-cms-north",
        "arn:aws:iam::222222222222:role/cdk-hnb659fds-deploy-role-222222222222-eu-west-1",
        "arn:aws:iam::222222222222:role/cdk-hnb659fds-cfn-exec-role-222222222222-us-east-1",
        "arn:aws:iam::222222222222:role/x/cdk-hnb659fds-cfn-exec-role-222222222222-eu-west-1",
        "arn:aws:iam::333333333333:role/cdk-hnb659fds-cfn-exec-role-222222222222-eu-west-1",
        "arn:aws:iam::333333333333:role/cdk-hnb659fds-cfn-exec-role-333333333333-eu-central-1",
        "arn:aws:iam::999999999999:role/cdk-hnb659fds-cfn-exec-role-999999999999-eu-west-1",
    ],
)
def test_nobody_else_takes_the_accepter_role(templates: dict[str, Template], arn: str) -> None:
    assert not may_take(statements(templates[SERVER])[ACCEPTER], arn)


@pytest.mark.parametrize(
    "ends",
    [
        {"requester": vpc(account="333333333333")},
        {"requester": vpc(region="eu-central-1")},
        {"requester": vpc(), "accepter": "arn:aws:ec2:eu-west-1:111111111111:vpc/vpc-another"},
        {"requester": vpc(), "accepter": "arn:aws:ec2:eu-west-1:111111111111:vpc/*"},
    ],
    ids=["another client's", "another Region's", "another VPC of the server", "any VPC of the server"],
)
def test_the_accepter_role_accepts_no_other_peering(
    templates: dict[str, Template], ends: dict[str, str]
) -> None:
    assert not may_accept(statements(templates[SERVER])[ACCEPTER]["grants"], **ends)


def test_a_client_that_has_its_way_back_gets_no_second_vpc_accepted(templates: dict[str, Template]) -> None:
    """IAM cannot count: what gives one client its way back takes the right from its accepter role."""
    role = statements(templates[SERVER])[ACCEPTER]
    closed = statements(templates[PEER_NORTH])["FL-accept-peering-cms-north"]
    for name in ("vpc-1", "vpc-2"):
        assert not may_accept(role["grants"], closed["grants"], requester=vpc(name=name))


def test_a_client_deployed_otherwise_is_trusted_by_that_role_alone(synthesise: Synthesise) -> None:
    data = example()
    north, south, west = data["clients"]
    sso = "arn:aws:iam::222222222222:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0a1b"
    north["deployed_by"], south["bootstrap_qualifier"] = sso, "clinic"
    synthesised = synthesise(data, **{"@aws-cdk/core:bootstrapQualifier": "house"})
    roles = statements(synthesised.templates[SERVER])
    allowed = {
        ACCEPTER: sso,
        "AcceptersouthRoleF99213C0": (
            "arn:aws:iam::333333333333:role/cdk-clinic-cfn-exec-role-333333333333-eu-central-1"
        ),
        "AccepterwestRole11B5CA9F": (
            "arn:aws:iam::444444444444:role/cdk-house-cfn-exec-role-444444444444-eu-west-1"
        ),
    }
    assert west["bootstrap_qualifier"] is None
    for role, arn in allowed.items():
        assert may_take(roles[role], arn)
    assert not may_take(roles[ACCEPTER], DEPLOYER)
    assert not may_take(roles["AcceptersouthRoleF99213C0"], allowed["AccepterwestRole11B5CA9F"])
