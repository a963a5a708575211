"""Who calls: the access keys of the accounts' administrators, of role sessions, and of AWS itself.

AWS knows a caller by the access key of the request's signature (IAM User Guide, "AWS Signature Version 4").
Signatures are not verified here: whoever knows a key is its holder.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from dataclasses import dataclass, replace

from rehearsal.aws.errors import AwsError


@dataclass(frozen=True)
class Principal:
    """A caller. Sessions of a role carry the role's ARN; AWS's own services are not subject to IAM."""

    account: str
    arn: str
    role_arn: str | None = None
    is_service: bool = False

    @property
    def is_administrator(self) -> bool:
        """Whether this is the account's own administrator."""
        return self.role_arn is None and not self.is_service


@dataclass(frozen=True)
class Credentials:
    """What a caller signs with."""

    access_key: str
    secret_key: str
    token: str | None = None
    expires: dt.datetime | None = None


class Principals:
    """All keys that are in use."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Principal, Credentials]] = {}
        self._homes: dict[str, str] = {}
        self._lock = threading.Lock()

    def administrator(self, account: str) -> Credentials:
        """Make the keys with which an account's owner deploys."""
        return self._add(Principal(account, f"arn:aws:iam::{account}:user/administrator"), "AKIA")

    def service(self, account: str) -> Credentials:
        """Make keys with which a service of AWS works inside an account."""
        return self._add(Principal(account, f"arn:aws:iam::{account}:root", is_service=True), "AWSS")

    def session(self, role_arn: str, name: str, seconds: int) -> tuple[Principal, Credentials]:
        """Make the temporary keys of a role session."""
        (_, partition, _, _, account, _), role = role_arn.split(":", 5), role_arn.rpartition("/")[2]
        principal = Principal(account, f"arn:{partition}:sts::{account}:assumed-role/{role}/{name}", role_arn)
        expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
        return principal, self._add(principal, "ASIA", secrets.token_hex(64), expires)

    def on_behalf_of(self, caller: Principal) -> Credentials:
        """Make keys with which a service works with its caller's rights, as CloudFormation does."""
        if caller.role_arn:
            return self.session(caller.role_arn, caller.arn.rpartition("/")[2], 3600)[1]
        return self.administrator(caller.account)

    def identify(self, access_key: str, token: str | None, partition: str = "aws") -> Principal:
        """Return whose key this is; a temporary one counts only with its token, and until it expires.

        An account is of the partition that it is first called in, and unknown in every other one.
        """
        known = self._known.get(access_key)
        home = self._homes.setdefault(known[0].account, partition) if known else partition
        if known is None or known[1].token != token or home != partition:
            raise AwsError(
                "InvalidClientTokenId", "The security token included in the request is invalid.", 403
            )
        principal, credentials = known
        if credentials.expires and credentials.expires < dt.datetime.now(dt.UTC):
            raise AwsError("ExpiredToken", "The security token included in the request is expired", 403)
        return replace(principal, arn=principal.arn.replace("arn:aws:", f"arn:{home}:", 1))

    def _add(
        self, principal: Principal, prefix: str, token: str | None = None, expires: dt.datetime | None = None
    ) -> Credentials:
        made = Credentials(prefix + secrets.token_hex(8).upper(), secrets.token_urlsafe(30), token, expires)
        with self._lock:
            self._known[made.access_key] = (principal, made)
        return made
