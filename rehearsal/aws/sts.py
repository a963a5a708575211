"""STS: AssumeRole as it decides on AWS, and GetCallerIdentity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rehearsal.aws.authorization import Authorization
from rehearsal.aws.errors import AwsError
from rehearsal.aws.principals import Credentials, Principals
from rehearsal.aws.protocol import Call

CHAINED_SECONDS: Final = 3600
DEFAULT_SECONDS: Final = 3600


class Sts:
    """Role sessions."""

    def __init__(self, principals: Principals, authorization: Authorization) -> None:
        self._principals, self._authorization = principals, authorization

    def answer(self, call: Call) -> Mapping[str, Any]:
        """Answer one call."""
        if call.operation == "GetCallerIdentity":
            return {
                "Account": call.principal.account,
                "Arn": call.principal.arn,
                "UserId": call.principal.arn,
            }
        if call.operation == "AssumeRole":
            return self._assume_role(call)
        raise AwsError("NotImplemented", f"The rehearsal has no sts:{call.operation}.", 501)

    def _assume_role(self, call: Call) -> Mapping[str, Any]:
        wanted = call.parameters
        seconds = int(wanted.get("DurationSeconds") or DEFAULT_SECONDS)
        if call.principal.role_arn and seconds > CHAINED_SECONDS:
            # IAM User Guide, "Roles terms and concepts", role chaining: one hour at most.
            raise AwsError(
                "ValidationError",
                "DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            )
        self._authorization.check_assume(call.principal, wanted["RoleArn"], wanted.get("ExternalId"))
        principal, made = self._principals.session(wanted["RoleArn"], wanted["RoleSessionName"], seconds)
        return {
            "Credentials": as_sts(made),
            "AssumedRoleUser": {"Arn": principal.arn, "AssumedRoleId": f"AROA:{wanted['RoleSessionName']}"},
        }


def as_sts(made: Credentials) -> dict[str, Any]:
    """Return credentials in STS's words."""
    return {
        "AccessKeyId": made.access_key,
        "SecretAccessKey": made.secret_key,
        "SessionToken": made.token,
        "Expiration": made.expires,
    }
