"""Whose credentials a preflight has, and whether this machine's clock is right."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from runtime.contract import ExitCode, FedstackError
from runtime.parallel import AT_ONCE
from runtime.server.preflight.findings import Owner, Problem, code_of

CONFIG: Final = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "max_attempts": 4},
    max_pool_connections=AT_ONCE,
)
MOST_SKEW_SECONDS: Final = 60.0
"""AWS refuses signatures that are five minutes off; the certificates of a run allow fifteen."""
_CLOCK: Final = ("RequestExpired", "RequestTimeTooSkewed", "SignatureDoesNotMatch")


@dataclass(frozen=True)
class Caller:
    """Who AWS says is calling.

    Parameters
    ----------
    account, arn
        Empty where AWS refused the signature, as it does when a clock is wrong.
    skew_seconds
        How far this machine's clock is ahead of AWS's.
    """

    account: str
    arn: str
    skew_seconds: float


def who(session: boto3.Session, region: str, now: Callable[[], float] = time.time) -> Caller:
    """Ask AWS who is calling; credentials that it does not take are an error."""
    sts = session.client("sts", region_name=region, config=CONFIG)
    before = now()
    try:
        answer: Mapping[str, Any] = sts.get_caller_identity()
    except ClientError as error:
        answer = error.response
        if code_of(error) not in _CLOCK or abs(_skew(answer, before)) < MOST_SKEW_SECONDS:
            raise _no_credentials(error) from error
    except BotoCoreError as error:
        raise _no_credentials(error) from error
    return Caller(answer.get("Account", ""), answer.get("Arn", ""), _skew(answer, (before + now()) / 2))


def _skew(answer: Mapping[str, Any], here: float) -> float:
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return 0.0 if said is None else here - parsedate_to_datetime(said).astimezone(dt.UTC).timestamp()


def _no_credentials(error: Exception) -> FedstackError:
    return FedstackError(
        ExitCode.CONFIG,
        f"AWS does not take these credentials: {error}.",
        "Log in, or choose another profile (AWS_PROFILE), and try again.",
    )


def clock(caller: Caller, owner: Owner) -> Iterator[Problem | str]:
    """Compare this machine's clock with the one that AWS's answer carries."""
    ahead = round(caller.skew_seconds)
    if abs(ahead) > MOST_SKEW_SECONDS:
        yield Problem(
            owner,
            f"This machine's clock is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} AWS's.",
            "Set it (`chronyc makestep`): AWS refuses what is signed five minutes off.",
        )
    yield f"{abs(ahead)} s off"


def home_region(session: boto3.Session, region: str, owner: Owner) -> Iterator[Problem | str]:
    """Find a default Region that is another one: the commands of the docs would act there, unseen."""
    default = session.region_name
    if default not in (None, region):
        yield Problem(
            owner,
            f"The default Region of these credentials is {default}, and the account's is {region}.",
            f"Set AWS_DEFAULT_REGION={region}: a switch that is set in {default} is read by nobody.",
        )
    yield region if default else f"{region} (no default)"
