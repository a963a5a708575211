"""AWS partitions: ARNs of two of them are written differently, and their accounts cannot trust each other."""

from __future__ import annotations


def partition(region: str) -> str:
    """Return the ARN partition of a Region."""
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
