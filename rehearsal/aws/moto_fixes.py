"""What plain moto does otherwise than AWS, mended where the gateway in front of it cannot.

Each function says what is wrong in moto 5.2.5, which is pinned.
"""

from __future__ import annotations

from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket


def leave_decisions_to_the_gateway() -> None:
    """Moto reads bucket policies without their conditions, so that `deny without TLS` denies everything."""

    def permitted(self: FakeBucket, action: str, resource: str) -> Any:  # noqa: ARG001 - moto's signature
        return PermissionResult.PERMITTED

    FakeBucket.get_permission = permitted  # type: ignore[method-assign,unused-ignore]


def apply() -> None:
    """Mend all of it."""
    leave_decisions_to_the_gateway()
