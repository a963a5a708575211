"""What every stack must pass at synth: tags, cdk-nag, and findings acknowledged with a reason."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct


def accept(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept one finding of a checker on the construct that causes it, and say why it is right here."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=finding, reason=reason))


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings of cdk-nag, each with its reason, in one call: each call into CDK costs time."""
    accepted = [
        cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason)
        for rule, reason in reasons.items()
    ]
    cdk.Validations.of(construct).acknowledge(*accepted)


def apply_checks(app: cdk.App, tags: Mapping[str, str]) -> None:
    """Tag everything, and let synth fail on any finding that nobody acknowledged."""
    for key, value in tags.items():
        cdk.Tags.of(app).add(key, value)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def removal_policy(stack: cdk.Stack, *, asked: bool, confirmed: bool) -> cdk.RemovalPolicy:
    """Return what becomes of data with the stack: they go only if the file asks and the command confirms."""
    if asked and confirmed:
        return cdk.RemovalPolicy.DESTROY
    if asked:
        cdk.Annotations.of(stack).add_warning_v2(
            "fedstack:data-kept",
            "delete_data is on, but data are kept: deletion also needs -c delete_data=<federation>.",
        )
    return cdk.RemovalPolicy.RETAIN
