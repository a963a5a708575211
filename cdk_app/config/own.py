"""What an account's owner can bring: a network, a permissions boundary, names by rules of its own."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from cdk_app.config import types as kinds
from cdk_app.config.strict import Strict
from cdk_app.config.types import matching, problem
from cdk_app.naming import RoleNames
from cdk_app.regions import ARN

_BUCKET: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")
_RESERVED: Final = (
    ("xn--", "sthree-", "amzn-s3-demo-"),
    ("-s3alias", "--ol-s3", "--x-s3", "--table-s3", "-an"),
)
"""What a bucket's name must not begin and end with (S3 User Guide, "General purpose bucket naming rules")."""


def is_reserved(name: str) -> bool:
    """Whether S3 keeps a bucket's name for itself."""
    beginnings, ends = _RESERVED
    return name.startswith(beginnings) or name.endswith(ends)


def _bucket_name(value: str) -> str:
    if not _BUCKET.fullmatch(value):
        what = "no bucket's name"
        if "." in value:
            what = "a name with a dot, which TLS to a bucket and its certificate do not take"
        raise problem(what, "Use 3 to 63 lower-case letters, digits and hyphens, none at an end.")
    if is_reserved(value):
        raise problem("a name that S3 keeps for itself", "Begin and end it otherwise.")
    return value


def _two_subnets(value: tuple[str, str]) -> tuple[str, str]:
    if value[0] == value[1]:
        raise problem("one subnet twice", "Name two, in the two availability_zones.")
    return value


_TWO_SUBNETS: Final = AfterValidator(_two_subnets)


PolicyArn = Annotated[
    str,
    Field(description="A managed policy of the account, or of AWS."),
    AfterValidator(
        matching(
            rf"{ARN}:iam::(?:\d{{12}}|aws):policy/(?:[\w+=,.@-]+/)*[\w+=,.@-]{{1,128}}",
            "no managed policy's ARN",
            "Give it whole, arn:aws:iam::ACCOUNT:policy/NAME with its path.",
        )
    ),
]
RolePath = Annotated[
    str,
    AfterValidator(
        matching(
            r"/(?!aws-)(?:[\w+=,.@-]{1,64}/){0,7}",
            "no path of a role",
            "Begin and end it with a slash, with letters, digits and any of +=,.@_- between: /clinic/fl/ "
            "(/aws-... is AWS's own).",
        )
    ),
]
RolePrefix = Annotated[
    str,
    AfterValidator(
        matching(
            r"[\w+=,.@-]{0,32}",
            "no beginning of a role's name",
            "Use at most 32 letters, digits and any of +=,.@_-, such as clinic-.",
        )
    ),
]
BucketName = Annotated[
    str,
    Field(description="A bucket's name; nobody else in the partition has one of that name."),
    AfterValidator(_bucket_name),
]


class ExistingVpc(Strict):
    """A VPC that the account already has; it keeps its own endpoints and flow logs (docs/deploy.md).

    A job needs S3's gateway endpoint and, where updates are summed, KMS's interface endpoint with its
    private DNS name; a notebook the SageMaker API; the server's what its runs call as well.
    """

    vpc_id: kinds.VpcId
    subnet_ids: Annotated[tuple[kinds.SubnetId, kinds.SubnetId], _TWO_SUBNETS]
    route_table_ids: Annotated[
        tuple[kinds.RouteTableId, kinds.RouteTableId],
        Field(description="The route table of each subnet; one that both have is named twice."),
    ]


class ServerBuckets(Strict):
    """What the server's buckets are called, where CloudFormation should not name them."""

    test_data: BucketName | None = None
    results: BucketName | None = None
    access_logs: BucketName | None = None


class ClientBuckets(Strict):
    """What a client's buckets are called, where CloudFormation or this release should not name them."""

    data: BucketName | None = None
    artifacts: BucketName | None = None
    code: BucketName | None = None
    mailbox: BucketName | None = None
    access_logs: BucketName | None = None
    bundle: BucketName | None = Field(default=None, description="Of a hand-off package.")


class _Names(Strict):
    """Names by the rules of an account's owner."""

    role_path: RolePath = Field(default="/", description="The path of every role.")
    role_prefix: RolePrefix = Field(
        default="", description="What the name of every role begins with, before FL-."
    )

    @property
    def roles(self) -> RoleNames:
        """How roles are named."""
        return RoleNames(self.role_path, self.role_prefix)


class ServerOwnNames(_Names):
    """Names in the server's account."""

    buckets: ServerBuckets = ServerBuckets()


class ClientOwnNames(_Names):
    """Names in a client's account."""

    buckets: ClientBuckets = ClientBuckets()
