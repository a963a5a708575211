"""Asks AWS again, later each time, for what it refuses only because it is asked too often."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from botocore.config import Config
from botocore.exceptions import ClientError

from runtime.parallel import AT_ONCE

CODES: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""AWS's words for it ("Retry behavior" of the SDKs' reference guide), without those of quotas."""

TRIES: Final = 10
FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 20.0
"""All tries together wait for two minutes at most, and half of it on the average."""

CONFIG: Final = Config(
    connect_timeout=10,
    read_timeout=60,
    # A broken connection is tried again here, and so is a short throttling; a long one in `patiently`.
    retries={"mode": "standard", "max_attempts": 3},
    max_pool_connections=AT_ONCE,
    tcp_keepalive=True,
)

Result = TypeVar("Result")


def is_throttled(error: ClientError) -> bool:
    """Whether AWS would do the same thing if it were asked for less often."""
    said: dict[str, Any] = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return said.get("Code") in CODES or status == 429 or said.get("Message") == "Rate exceeded"


def patiently(call: Callable[[], Result], over: threading.Event | None = None) -> Result:
    """Return what a call of AWS returns; throttled, it is made again after a random, ever longer time.

    Parameters
    ----------
    over
        Set, nothing is waited for any more.

    Raises
    ------
    ClientError
        The refusal, when it is another one, when it is the last of `TRIES`, or when it is over.
    """
    over = over or threading.Event()
    for attempt in range(TRIES - 1):
        try:
            return call()
        except ClientError as error:
            if not is_throttled(error):
                raise
            longest = min(FIRST_SECONDS * 2**attempt, LONGEST_SECONDS)
            if over.wait(random.uniform(0, longest)):
                raise
    return call()
