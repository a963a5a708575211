"""AWS partitions: each writes ARNs and names its own way, and accounts of two cannot trust each other."""

from __future__ import annotations

import re
from typing import Final

from runtime.contract import dns_suffix

ARN: Final = r"arn:aws(?:-cn|-us-gov)?"
"""How an ARN of any partition that we know begins, as a pattern."""

AMAZONAWS: Final = r"amazonaws\.com(?:\.cn)?"
"""How a host's name ends in any of them."""

_SAID_CHINA: Final = frozenset({"s3", "sagemaker.api", "states", "sts"})
"""Services of ours whose interface endpoints are called `cn.com.amazonaws...` in China; the others' are not.

Source: the table in aws-cdk-lib's InterfaceVpcEndpointAwsService, which a test compares this with.
"""


def partition(region: str) -> str:
    """Return the ARN partition of a Region."""
    return {"us-gov": "aws-us-gov", "cn": "aws-cn"}.get(region.rsplit("-", 2)[0], "aws")


def interface_service(service: str, region: str) -> str:
    """Return what EC2 calls the interface endpoints of one of AWS's services in a Region."""
    china = partition(region) == "aws-cn" and service in _SAID_CHINA
    return f"{'cn.' if china else ''}com.amazonaws.{region}.{service}"


def service_of(endpoint_service: str, region: str) -> str:
    """Return the service that an endpoint is of; of one that is none of AWS's, the name as it is."""
    found = re.fullmatch(rf"(?:cn\.)?com\.amazonaws\.{re.escape(region)}\.(?P<service>.+)", endpoint_service)
    return found["service"] if found else endpoint_service


__all__ = ["AMAZONAWS", "ARN", "dns_suffix", "interface_service", "partition", "service_of"]
