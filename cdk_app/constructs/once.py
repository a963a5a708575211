"""What is asked of CDK once: each call crosses to Node.js and back, and a client's stack makes hundreds.

What is known in Python is put together here: an account's ARNs, and values that all constructs share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import IConstruct

from cdk_app.regions import partition


@dataclass(frozen=True)
class Home:
    """The account and Region of a stack, both of which the federation file says."""

    account: str
    region: str

    @property
    def partition(self) -> str:
        """AWS's own, or that of a government or a country."""
        return partition(self.region)

    def arn(self, service: str, kind: str, name: str, separator: str = "/") -> str:
        """Return the ARN of a resource of this account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{kind}{separator}{name}"


def home_of(scope: IConstruct) -> Home:
    """Return where a construct's stack goes."""
    kept = vars(scope)
    if "_home" not in kept:
        stack = cdk.Stack.of(scope)
        if stack is not scope:
            kept["_home"] = home_of(stack)
        else:
            kept["_home"] = Home(stack.account, stack.region)
    home: Home = kept["_home"]
    return home


def known(construct: Any, attribute: str) -> str:
    """Return an attribute of a construct that does not change, such as its ARN."""
    kept = vars(construct).setdefault("_known", {})
    if attribute not in kept:
        kept[attribute] = getattr(construct, attribute)
    return str(kept[attribute])


def objects(bucket: s3.IBucket, pattern: str) -> str:
    """Return the ARN of objects of a bucket."""
    return f"{known(bucket, 'bucket_arn')}/{pattern}"


def url(bucket: s3.IBucket, key: str) -> str:
    """Return the `s3://` of an object."""
    return f"s3://{known(bucket, 'bucket_name')}/{key}"


@cache
def days(number: int) -> cdk.Duration:
    """Return so many days."""
    return cdk.Duration.days(number)


@cache
def minutes(number: int) -> cdk.Duration:
    """Return so many minutes."""
    return cdk.Duration.minutes(number)


@cache
def service(name: str) -> iam.ServicePrincipal:
    """Return a service of AWS as the principal of a policy, without conditions."""
    return iam.ServicePrincipal(name)


@cache
def everyone() -> iam.StarPrincipal:
    """Return everybody, as policies of endpoints must name them."""
    return iam.StarPrincipal()


@cache
def anybody() -> iam.AnyPrincipal:
    """Return everybody, as policies of buckets and keys refuse them."""
    return iam.AnyPrincipal()


@cache
def never_public() -> s3.BlockPublicAccess:
    """Return a bucket's block of all public access."""
    return s3.BlockPublicAccess.BLOCK_ALL
