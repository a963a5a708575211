"""Clients of AWS with the credentials that this process has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Clients = Callable[[str], Any]
"""Returns a boto3 client of a service."""


def own_clients(region: str | None) -> Clients:
    """Return a maker of this process's own clients."""
    import boto3  # not needed where there is no AWS

    return lambda service: boto3.client(service, region_name=region)
