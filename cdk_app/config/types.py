"""The kinds of value that a federation file holds, each with the sentence that repairs a bad one."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from cdk_app.images import OWN_IMAGE, families, published, regions
from cdk_app.regions import AMAZONAWS, ARN

LARGEST_PREFIX: Final = 16
SMALLEST_PREFIX: Final = 26
PRIVATE: Final = tuple(
    ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
# What script mode would decode as JSON instead of passing on as text.
JSON_WORDS: Final = frozenset({"null", "true", "false"})


def problem(what: str, remedy: str) -> PydanticCustomError:
    """Return the error that pydantic reports, with the remedy as its second sentence."""
    return PydanticCustomError("fedstack", "{what}. {remedy}", {"what": what, "remedy": remedy})


def matching(pattern: str, what: str, remedy: str) -> Callable[[str], str]:
    """Return a check of a whole text against a pattern, of ASCII characters as AWS's names are."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise problem(what, remedy)
        return value

    return check


def _region(value: str) -> str:
    if value not in regions():
        raise problem(
            "no Region in which SageMaker publishes its training images",
            f"Use one of {', '.join(sorted(regions()))}.",
        )
    return value


def _cidr(value: str) -> str:
    try:
        block = ipaddress.IPv4Network(value, strict=False)
    except ValueError:
        raise problem("no IPv4 CIDR block", "Write it as 10.0.0.0/24.") from None
    if str(block) != value:
        raise problem("not the first address of its block", f"Write {block}.")
    if not LARGEST_PREFIX <= block.prefixlen <= SMALLEST_PREFIX:
        size = "larger" if block.prefixlen < LARGEST_PREFIX else "smaller"
        raise problem(
            f"{size} than a VPC of ours can be",
            f"Choose a block between /{LARGEST_PREFIX} and /{SMALLEST_PREFIX}; /24 is plenty.",
        )
    if not any(block.subnet_of(private) for private in PRIVATE):
        raise problem("not a private block", "Choose one inside 10/8, 172.16/12 or 192.168/16.")
    return value


def _not_json(value: str) -> str:
    if value in JSON_WORDS:
        raise problem("a word that script mode decodes as JSON", "Choose another name.")
    return value


def _image(value: str) -> str:
    if value not in published() and not OWN_IMAGE.fullmatch(value):
        raise problem(
            "no training image",
            f"Use {', '.join(published())}, or an image of your own (Python 3.12) by its digest: "
            "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:DIGEST.",
        )
    return value


def _public_key(value: str) -> str:
    try:
        key = load_der_public_key(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        whole = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if base64.b64encode(whole).decode() == value:
            return value
    raise problem(
        "no public key on P-256",
        "Copy what `aws kms get-public-key --key-id alias/FL-signing-FEDERATION-CLIENT --query PublicKey "
        "--output text` prints.",
    )


AccountId = Annotated[
    str,
    Field(description="The AWS account, 12 digits in quotes."),
    AfterValidator(
        matching(r"\d{12}", "not an AWS account id", 'Write its 12 digits in quotes: "111122223333".')
    ),
]
Region = Annotated[str, Field(description="The AWS Region, e.g. eu-west-1."), AfterValidator(_region)]
Cidr = Annotated[
    str,
    Field(description="The VPC's private address block; only clients by PrivateLink may share it."),
    AfterValidator(_cidr),
]
FederationName = Annotated[
    str,
    AfterValidator(
        matching(
            r"[a-z][a-z0-9]{1,15}",
            "no federation name",
            "Use 2 to 16 lower-case letters and digits, a letter first; it begins every name in AWS.",
        )
    ),
]
ClientName = Annotated[
    str,
    AfterValidator(
        matching(
            r"[a-z](?:-?[a-z0-9]){1,23}",
            "no client name",
            "Use 2 to 24 lower-case letters, digits and single hyphens, a letter first.",
        )
    ),
    AfterValidator(_not_json),
]
_FAMILIES: Final = families("volume") + families("gpu_with_own_disks")
TrainingInstance = Annotated[
    str,
    AfterValidator(
        matching(
            rf"ml\.({'|'.join(_FAMILIES)})\.\d*x?(large|medium)",
            "no training instance whose disks are encrypted as we need it",
            f"Choose one of ml.{', '.join(_FAMILIES)}, e.g. ml.m5.xlarge; ml.g5.xlarge has a GPU.",
        )
    ),
]
TrainingImage = Annotated[
    str,
    Field(description=f"{', '.join(published())}, or an image of one's own in ECR as URI@sha256:digest."),
    AfterValidator(_image),
]
NotebookInstance = Annotated[
    str,
    AfterValidator(
        matching(
            r"ml\.(t3|m5|c5|r5)\.\d*x?(large|medium)",
            "no notebook instance type",
            "Choose e.g. ml.t3.medium.",
        )
    ),
]
KeyArn = Annotated[
    str,
    AfterValidator(
        matching(
            rf"{ARN}:kms:[a-z0-9-]+:\d{{12}}:key/"
            r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})",
            "no KMS key ARN",
            "Give the key itself, arn:aws:kms:REGION:ACCOUNT:key/ID; an alias cannot be pinned.",
        )
    ),
]
check_qualifier = matching(
    r"[a-z0-9]{1,10}",
    "no bootstrap qualifier",
    "Use 1 to 10 lower-case letters and digits, as `cdk bootstrap --qualifier` was given.",
)
Qualifier = Annotated[str, AfterValidator(check_qualifier)]
DeployerArn = Annotated[
    str,
    Field(description="The role or user that creates the account's stack, or the role that is given to it."),
    AfterValidator(
        matching(
            rf"{ARN}:iam::\d{{12}}:(role|user)/(?:[\w+=,.@-]+/)*[\w+=,.@-]{{1,64}}",
            "no role or user ARN",
            "Give it whole, arn:aws:iam::ACCOUNT:role/NAME with its path; a pattern would let others in.",
        )
    ),
]
ExternalId = Annotated[
    str,
    AfterValidator(
        matching(
            r"[\w+=,.@:/-]{2,128}", "no external id", "Use 2 to 128 letters, digits and any of +=,.@:/-."
        )
    ),
]


def resource_id(prefix: str) -> AfterValidator:
    """Return the check of an EC2 id such as vpc-0abc."""
    return AfterValidator(
        matching(
            f"{prefix}-[0-9a-f]{{8,17}}",
            f"no {prefix} id",
            f"Copy it from the VPC console: {prefix}-0123456789abcdef0.",
        )
    )


VpcId = Annotated[str, resource_id("vpc")]
SubnetId = Annotated[str, resource_id("subnet")]
RouteTableId = Annotated[str, resource_id("rtb")]
PeeringId = Annotated[str, resource_id("pcx")]
EmailAddress = Annotated[
    str,
    AfterValidator(
        matching(r"(?u:[^@\s]+@[^@\s]+\.[^@\s]+)", "no e-mail address", "Write it as ops@example.org.")
    ),
]
EndpointName = Annotated[
    str,
    AfterValidator(
        matching(
            rf"vpce-[0-9a-z-]+\.[a-z.]+\.[a-z0-9-]+\.vpce\.{AMAZONAWS}",
            "no interface endpoint's DNS name",
            "Copy the client stack's output KickoffEndpoint.",
        )
    ),
]
EndpointService = Annotated[
    str,
    AfterValidator(
        matching(
            r"(?:cn\.)?com\.amazonaws\.vpce\.[a-z0-9-]+\.vpce-svc-[0-9a-f]{8,17}",
            "no endpoint service's name",
            "Copy the output EndpointService of the server's stack.",
        )
    ),
]
PublicKey = Annotated[
    str,
    Field(description="Base64 of a P-256 SubjectPublicKeyInfo, as aws kms get-public-key prints it."),
    AfterValidator(_public_key),
]


class _Fixed(dict[str, bool | int | float | str]):
    """A dict that does not change, and so has a hash, as the model that it is in."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items(), key=repr)))


def _node_config(value: dict[str, bool | int | float | str]) -> _Fixed:
    for key, entry in value.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", key):
            raise problem(f"{key!r} is no key of a node config", "Use letters, digits, dots and dashes.")
        if isinstance(entry, str) and not re.fullmatch(r"[^\"'\\\x00-\x1f]*", entry):
            raise problem(f"{entry!r} cannot be an option of a job", "Leave out quotes and backslashes.")
    return _Fixed(value)


NodeConfig = Annotated[dict[str, bool | int | float | str], AfterValidator(_node_config)]


MOST_TAGS: Final = 40
"""AWS takes 50 of a resource; a job has some of our own."""


_OF_JOBS: Final = ("federation", "client")


def _tags(value: dict[str, str]) -> _Fixed:
    """Refuse what AWS would refuse only while it deploys."""
    if len(value) > MOST_TAGS:
        raise problem(f"{len(value)} tags", f"Give {MOST_TAGS} at most.")
    taken: dict[str, str] = {}
    for key, entry in value.items():
        if (first := taken.setdefault(key.casefold(), key)) != key:
            raise problem(f"{key!r} beside {first!r}", "Leave one out: IAM takes both for one key of a role.")
        if not re.fullmatch(r"(?i)(?!aws:)[\w .:/=+@-]{1,128}", key) or key.casefold() in _OF_JOBS:
            raise problem(
                f"{key!r} is no key of a tag",
                "Use letters, digits, spaces and . : / = + @ -, 128 at most, not beginning with aws:, and "
                "neither federation nor client, which jobs have of their own.",
            )
        if not re.fullmatch(r"[\w .:/=+@-]{0,256}", entry):
            raise problem(
                f"{entry!r} cannot be the value of a tag",
                "Use letters, digits, spaces and . : / = + @ -, 256 at most.",
            )
    return _Fixed(value)


Tags = Annotated[dict[str, str], AfterValidator(_tags)]


WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MINUTES_A_DAY: Final = 1440
Weekday = Literal["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
TimeOfDay = Annotated[
    str,
    Field(description="HH:MM in UTC, in quotes."),
    AfterValidator(
        matching(r"([01]\d|2[0-3]):[0-5]\d", "no time of day", 'Write hours and minutes in UTC: "02:30".')
    ),
]


def minute_of(time: str) -> int:
    """Return the minute of the day."""
    hours, _, minutes = time.partition(":")
    return 60 * int(hours) + int(minutes)


def _distinct(days: tuple[Weekday, ...]) -> tuple[Weekday, ...]:
    if len(set(days)) < len(days):
        raise problem("a day that is named twice", "Name each day once.")
    return days


Weekdays = Annotated[tuple[Weekday, ...], Field(min_length=1), AfterValidator(_distinct)]
