"""The key that vouches for a client's jobs where updates are summed, and those of its fellow members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_app.constructs.network import endpoint_policy
from cdk_app.constructs.network.endpoints import InterfaceEndpoints
from cdk_app.constructs.network.exchanged import exchanged
from cdk_app.constructs.network.network import Network
from cdk_app.constructs.once import anybody, days, home_of, known
from cdk_app.naming import signing_key_parameter
from runtime.contract import PrivacyOption

PUBLIC_KEY: Final = r"^(MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==)?$"
"""Base64 of a SubjectPublicKeyInfo of a point on P-256 (RFC 5480); empty until its owner has told it."""


class SigningKey(kms.Key):
    """A key pair that never leaves KMS: the job signs with it, the other members know its public half.

    It holds no data and goes with the stack; a new one is told anew.
    """

    def __init__(self, scope: Construct, *, alias: str) -> None:
        super().__init__(
            scope,
            "SigningKey",
            alias=alias,
            description="Federated learning: vouches for this account's part of a sum",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            pending_window=days(7),
        )

    def only_signer(self, role_arn: str) -> None:
        """Refuse signatures to everybody but one role, administrators of the account included."""
        self.add_to_resource_policy(
            iam.PolicyStatement(
                sid="OnlySigner",
                effect=iam.Effect.DENY,
                principals=[anybody()],
                actions=["kms:Sign"],
                resources=["*"],  # In a key policy, "*" is this key.
                conditions={"ArnNotEquals": {"aws:PrincipalArn": role_arn}},
            )
        )

    def reachable_from(self, network: Network) -> None:
        """Let a network without internet call KMS, to sign with this key and for nothing else.

        One zone: a run signs once, also from the other zone, and a second one would cost as much again.
        """
        home = home_of(self)
        doors = InterfaceEndpoints(self, vpc=network.vpc, region=home.region, callers=[network.cidr])
        doors.add("kms", endpoint_policy.signing(home.account, known(self, "key_arn")), zones=1)


def cohort_options(stack: cdk.Stack, keys: Mapping[str, str | None]) -> dict[str, str]:
    """Return the job options that name the members that a client is summed with: NAME=PUBLIC-KEY each.

    A key that the file does not know is a parameter; while it is empty, the job refuses every sum.
    """
    return {
        f"{PrivacyOption.COHORT}-{number}": f"{name}={_public_key(stack, name, known)}"
        for number, (name, known) in enumerate(keys.items(), start=1)
    }


def _public_key(stack: cdk.Stack, name: str, known: str | None) -> str:
    return exchanged(
        stack,
        signing_key_parameter(name),
        known,
        pattern=PUBLIC_KEY,
        description=f"Public signing key of {name}, see docs/deploy.md; without it nothing is summed",
        default="",
    )
