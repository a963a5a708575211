"""IAM's policy language, on the rules of its user guide."""

from __future__ import annotations

from typing import Any

import pytest

from rehearsal.aws.policy import Decision, Request, evaluate, evaluate_resource

ALLOW, DENY, IMPLICIT_DENY = Decision.ALLOW, Decision.EXPLICIT_DENY, Decision.IMPLICIT_DENY


def policy(effect: str = "Allow", **statement: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Action": "s3:GetObject", "Resource": "*", **statement}]}


def decide(*policies: dict[str, Any], resource: str = "arn:aws:s3:::b/k", **context: Any) -> Decision:
    keys = {key.replace("__", ":"): value for key, value in context.items()}
    return evaluate(policies, Request("s3:GetObject", resource, keys))


def test_nothing_is_allowed_that_nothing_allows() -> None:
    assert decide() is IMPLICIT_DENY
    assert decide(policy(Action="s3:PutObject")) is IMPLICIT_DENY


def test_a_deny_beats_an_allow_in_either_order() -> None:
    assert decide(policy(), policy("Deny")) is DENY
    assert decide(policy("Deny"), policy()) is DENY


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("arn:aws:s3:::b/*", True),
        ("arn:aws:s3:::b/?", True),
        ("arn:aws:s3:::b", False),
        ("arn:aws:s3:::B/k", False),
    ],
)
def test_resources_match_with_wildcards_and_case(pattern: str, matches: bool) -> None:
    assert (decide(policy(Resource=pattern)) is ALLOW) == matches


def test_actions_match_without_case_and_not_action_excludes() -> None:
    assert decide(policy(Action="S3:get*")) is ALLOW
    excluding = {"Statement": {"Effect": "Allow", "NotAction": "s3:Get*", "Resource": "*"}}
    assert decide(excluding) is IMPLICIT_DENY


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"a:b": "x"}}, {"a__b": "x"}, True),
        ({"StringEquals": {"a:b": "x"}}, {}, False),
        ({"StringEqualsIfExists": {"a:b": "x"}}, {}, True),
        ({"StringNotEquals": {"a:b": "x"}}, {}, True),
        ({"StringNotEquals": {"a:b": ["x", "y"]}}, {"a__b": "y"}, False),
        ({"StringLike": {"a:b": "x*"}}, {"a__b": "xyz"}, True),
        ({"ArnLike": {"a:b": "arn:aws:iam::*:role/r"}}, {"a__b": "arn:aws:iam::1:role/r"}, True),
        ({"ArnLike": {"a:b": "arn:aws:*"}}, {"a__b": "arn:aws:iam::1:role/r"}, False),
        ({"Bool": {"a:b": "false"}}, {"a__b": False}, True),
        ({"Null": {"a:b": "true"}}, {}, True),
        ({"Null": {"a:b": "false"}}, {}, False),
        ({"NumericLessThan": {"a:b": 1.2}}, {"a__b": "1.3"}, False),
        ({"NumericLessThanEquals": {"a:b": "60"}}, {"a__b": 60}, True),
        ({"ForAllValues:StringEquals": {"a:b": ["x", "y"]}}, {"a__b": ["x", "z"]}, False),
        ({"ForAllValues:StringEquals": {"a:b": ["x"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"a:b": ["x"]}}, {"a__b": ["x", "z"]}, True),
        ({"StringEquals": {"A:B": "x"}}, {"a__b": "x"}, True),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, Any], holds: bool) -> None:
    assert (decide(policy(Condition=condition), **context) is ALLOW) == holds


def test_an_operator_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        decide(policy(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), aws__SourceIp="10.0.0.1")


def test_a_resource_policy_is_about_who_calls() -> None:
    request = Request("s3:GetObject", "arn:aws:s3:::b/k", {})
    mine = policy(Principal={"AWS": "arn:aws:iam::1:role/r"})
    assert evaluate_resource(mine, request, ("arn:aws:iam::1:role/r",)) is ALLOW
    assert evaluate_resource(mine, request, ("arn:aws:iam::2:role/r",)) is IMPLICIT_DENY
    assert evaluate_resource(policy(Principal="*"), request, ("anybody",)) is ALLOW


def test_a_policy_variable_stands_for_the_request_s_value() -> None:
    own = policy(Resource="arn:aws:s3:::b/${aws:PrincipalAccount}")
    assert decide(own, resource="arn:aws:s3:::b/1", aws__PrincipalAccount="1") is ALLOW
    assert decide(own, resource="arn:aws:s3:::b/2", aws__PrincipalAccount="1") is IMPLICIT_DENY
