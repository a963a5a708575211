"""A stack for one account and Region that says itself which zones it uses, so that synth looks nothing up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import aws_cdk as cdk
import jsii
from constructs import Construct

from cdk_app.handoff.synthesizer import HandoffSynthesizer
from cdk_app.naming import BOOTSTRAP_QUALIFIER

QUALIFIER_CONTEXT: Final = "@aws-cdk/core:bootstrapQualifier"
PACKAGED_CONTEXT: Final = "handoff_bundle"
"""Bucket and key of a hand-off package's bundle: `build_handoff` sets it."""


class Place(Protocol):
    """Where a stack goes."""

    @property
    def account(self) -> str: ...  # noqa: D102
    @property
    def region(self) -> str: ...  # noqa: D102
    @property
    def availability_zones(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def bootstrap_qualifier(self) -> str | None: ...  # noqa: D102
    @property
    def permissions_boundary(self) -> str | None: ...  # noqa: D102


def qualifier_of(scope: Construct, place: Place) -> str:
    """Return what an account's bootstrap has in its names: the file's word, else cdk's, else the default."""
    told = place.bootstrap_qualifier or scope.node.try_get_context(QUALIFIER_CONTEXT)
    return str(told or BOOTSTRAP_QUALIFIER)


def _synthesizer(scope: Construct, place: Place) -> cdk.IStackSynthesizer:
    """Return what says where a template finds its files: in the bootstrap's bucket, or in a package's own."""
    if packaged := scope.node.try_get_context(PACKAGED_CONTEXT):
        bucket, _, key = packaged.partition("/")
        return HandoffSynthesizer(bucket, key, place.region)
    return cdk.DefaultStackSynthesizer(qualifier=qualifier_of(scope, place))


class AccountStack(cdk.Stack):
    """What one account deploys with its own credentials.

    Parameters
    ----------
    compact
        Whether the template is written without indentation, for a stack that grows with the federation.
    protected
        Whether CloudFormation refuses to delete the stack until that is lifted.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        place: Place,
        description: str,
        compact: bool = False,
        protected: bool = False,
    ) -> None:
        # Before the base class, whose constructor may already ask.
        self._zones = list(place.availability_zones)
        own = place.permissions_boundary
        super().__init__(
            scope,
            name,
            env=cdk.Environment(account=place.account, region=place.region),
            description=description,
            termination_protection=protected,
            synthesizer=_synthesizer(scope, place),
            # Of every role; where the file says none, that of cdk.json's context, if any.
            permissions_boundary=None if own is None else cdk.PermissionsBoundary.from_arn(own),
            suppress_template_indentation=compact,
        )

    @property
    @jsii.member(jsii_name="availabilityZones")
    def availability_zones(self) -> list[str]:
        """The zones of the federation file; CDK would ask AWS for them."""
        return self._zones
