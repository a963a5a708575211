"""What a preflight finds: for each check a finding; for each failure its owner, cause and fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from runtime.contract import ExitCode
from runtime.parallel import at_once

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


def run(checks: Sequence[Check[Subject]], subject: Subject, owner: Owner, most: int = 1) -> Iterator[Finding]:
    """Yield the findings of each check, in this order, as it is done.

    Parameters
    ----------
    owner
        Whose credentials are used.
    most
        How many checks are made at a time, once those that decide have passed.
    """
    deciding = max((n for n, check in enumerate(checks, start=1) if check.decides), default=0)
    stopped = ""
    for check in checks[:deciding]:
        for finding in [_because_of(stopped, check, owner)] if stopped else _findings(check, subject, owner):
            yield finding
            if check.decides and finding.status is Status.FAIL:
                stopped = check.name
    if stopped:
        yield from (_because_of(stopped, check, owner) for check in checks[deciding:])
        return
    for found in at_once(lambda check: _findings(check, subject, owner), checks[deciding:], most):
        yield from found


def each(
    look: Callable[[Subject], Iterator[Problem | str]],
    subjects: Iterable[Subject],
    owner_of: Callable[[Subject], Owner],
) -> Iterator[Problem | str]:
    """Yield what a check has to say of each of many, a bounded number looked at a time, in their order.

    What AWS refuses for one of them is a problem of that one's owner; the others are looked at all the same.
    """

    def looked(subject: Subject) -> list[Problem | str]:
        found: list[Problem | str] = []
        try:
            found.extend(look(subject))
        except (ClientError, BotoCoreError) as error:
            found.append(_problem_of(error, owner_of(subject)))
        return found

    for found in at_once(looked, subjects):
        yield from found


def _because_of(stopped: str, check: Check[Subject], owner: Owner) -> Finding:
    return Finding(check.name, owner, Status.NOT_CHECKED, f"because of {stopped}")


def _findings(check: Check[Subject], subject: Subject, owner: Owner) -> Iterable[Finding]:
    notes: list[str] = []
    problems: list[Problem] = []
    try:
        for found in check.look(subject):
            notes.append(found) if isinstance(found, str) else problems.append(found)
    except NotCheckedError as error:
        if not problems:
            return [Finding(check.name, owner, Status.NOT_CHECKED, str(error))]
    except Exception as error:  # the other checks go on
        problems.append(_problem_of(error, owner))
    if problems:
        return [Finding(check.name, p.owner, Status.FAIL, p.cause, p.fix) for p in problems]
    return [Finding(check.name, owner, Status.OK, "; ".join(notes))]


def _problem_of(error: Exception, owner: Owner) -> Problem:
    if isinstance(error, ClientError):
        return _refused(error, owner)
    if isinstance(error, BotoCoreError):
        return Problem(owner, f"AWS could not be asked: {error}", "Look at this network and try again.")
    # Of ours, for an answer that AWS words otherwise.
    return Problem(owner, f"The check itself failed: {error!r}", "Report it to Fedstack.")


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
