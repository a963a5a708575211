"""What a preflight finds: for each check a finding; for each failure its owner, cause and fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from runtime.contract import ExitCode

Subject = TypeVar("Subject")

_MAY_NOT: Final = (
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedOperation",
    "AuthorizationError",
    "403",
)
_ACTIONS: Final = "Use credentials that may do what docs/preflight.md lists; all of it reads."


class Status(StrEnum):
    """How a check ended."""

    OK = "OK"
    FAIL = "FAIL"
    NOT_CHECKED = "NOT CHECKED"


@dataclass(frozen=True)
class Owner:
    """Who can mend something: the server's account, or a client's."""

    name: str
    account: str = ""
    is_server: bool = False

    def __str__(self) -> str:
        """Return the owner as people call it."""
        who = "the server" if self.is_server else f"client {self.name}"
        return f"{who}, account {self.account}" if self.account else who


@dataclass(frozen=True)
class Problem:
    """One thing that would end a run: whose it is, what it is with the value found, and what to do."""

    owner: Owner
    cause: str
    fix: str


class NotCheckedError(Exception):
    """A check that cannot be made here, with the reason."""


@dataclass(frozen=True)
class Finding:
    """How one check ended for one owner: what was seen, or the cause with its fix, or why nobody looked."""

    check: str
    owner: Owner
    status: Status
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One check.

    Parameters
    ----------
    name
        What `--json` and people call it.
    look
        Yields problems, and notes of what was seen.
    decides
        Whether no other check makes sense when this one fails.
    """

    name: str
    look: Callable[[Subject], Iterator[Problem | str]]
    decides: bool = False


def may_not(error: ClientError) -> bool:
    """Whether AWS refused a call because of who called."""
    return code_of(error) in _MAY_NOT


def code_of(error: ClientError) -> str:
    """Return AWS's own code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def run(checks: Sequence[Check[Subject]], subject: Subject, owner: Owner) -> Iterator[Finding]:
    """Yield the findings of each check as it is done; `owner` is whose credentials are used."""
    stopped = ""
    for check in checks:
        if stopped:
            yield Finding(check.name, owner, Status.NOT_CHECKED, f"because of {stopped}")
            continue
        for finding in _findings(check, subject, owner):
            yield finding
            if check.decides and finding.status is Status.FAIL:
                stopped = check.name


def _findings(check: Check[Subject], subject: Subject, owner: Owner) -> Iterable[Finding]:
    notes: list[str] = []
    problems: list[Problem] = []
    try:
        for found in check.look(subject):
            notes.append(found) if isinstance(found, str) else problems.append(found)
    except NotCheckedError as error:
        if not problems:
            return [Finding(check.name, owner, Status.NOT_CHECKED, str(error))]
    except ClientError as error:
        problems.append(_refused(error, owner))
    except BotoCoreError as error:
        problems.append(
            Problem(owner, f"AWS could not be asked: {error}", "Look at this network and try again.")
        )
    except Exception as error:  # of ours, for an answer that AWS words otherwise: the other checks go on
        problems.append(Problem(owner, f"The check itself failed: {error!r}", "Report it to Fedstack."))
    if problems:
        return [Finding(check.name, p.owner, Status.FAIL, p.cause, p.fix) for p in problems]
    return [Finding(check.name, owner, Status.OK, "; ".join(notes))]


def _refused(error: ClientError, owner: Owner) -> Problem:
    what = (
        f"{error.operation_name} was answered with {code_of(error)}: {error.response['Error'].get('Message')}"
    )
    return Problem(owner, what, _ACTIONS if may_not(error) else "Mend what AWS names, and try again.")


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Return the exit code that says whose the failures are."""
    whose = {finding.owner.is_server for finding in findings if finding.status is Status.FAIL}
    return {
        frozenset(): ExitCode.OK,
        frozenset({True}): ExitCode.PREFLIGHT_SERVER,
        frozenset({False}): ExitCode.PREFLIGHT_CLIENT,
        frozenset({True, False}): ExitCode.PREFLIGHT_BOTH,
    }[frozenset(whose)]
