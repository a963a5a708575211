"""What of an error may cross to another account, and how what another account said may be shown.

An exception's text may quote a row of the data, a path or a library's words; a peer may say anything.
"""

from __future__ import annotations

import errno
import os
from typing import Final, TypeGuard

from runtime.contract import ExitCode, FedstackError

LONGEST: Final = 500
"""What is shown of a peer's words ends here."""

UNUSABLE_DATA: Final = "Its data cannot be used."
SEE_LOG: Final = "See the log of the client's own job, in its account."


def crossing(error: BaseException) -> str:
    """Return the words of an error that may leave the account: fixed ones, with a line and a column at most.

    Of an error in the data these are its `public` ones; of whatever is not ours, only its kind.
    """
    if isinstance(error, KeyboardInterrupt):
        return "it was stopped"
    if not isinstance(error, FedstackError):
        return type(error).__name__
    if error.public is not None:
        return error.public
    return UNUSABLE_DATA if error.code == ExitCode.DATA else error.what


FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a disk says that takes no more."""


def is_full(error: BaseException) -> TypeGuard[OSError]:
    """Return whether an error is a disk's that takes no more."""
    return isinstance(error, OSError) and error.errno in FULL


def full_in(error: BaseException) -> OSError | None:
    """Return the full disk that an error came of, if it did: itself, or what it was raised for."""
    full, seen = os.strerror(errno.ENOSPC), list[BaseException]()
    at: BaseException | None = error
    while at is not None and at not in seen:
        if is_full(at):
            return at
        if full.casefold() in str(at).casefold():  # as a child process says it
            return OSError(errno.ENOSPC, full)
        seen.append(at)
        at = at.__cause__ or at.__context__
    return None


def unwritable(error: OSError, what: object = None) -> FedstackError:
    """Return what a person is told of a file that could not be written."""
    return FedstackError(
        ExitCode.ENGINE,
        f"{what or error.filename or 'A file'} cannot be written ({error.strerror}).",
        "Make room on the disk, then run again, with --resume where there is a checkpoint.",
        public=f"A file cannot be written ({error.strerror}).",
    )


class CrossingError(FedstackError):
    """An error that stands in for another one where that one's own text must not be: all of it may cross."""

    def __init__(self, error: BaseException) -> None:
        words, code, remedy = crossing(error), ExitCode.CLIENT_APP, SEE_LOG
        if isinstance(error, FedstackError):
            code = error.code
            remedy = SEE_LOG if code == ExitCode.DATA else error.remedy  # which would tell what the cell is
        super().__init__(code, words, remedy, public=words)

    def __str__(self) -> str:
        """Return the words alone: Flower's own engines put this text into the reply."""
        return self.what


def escaped(text: str) -> str:
    """Return text with what a terminal would obey, or a reader not see, written out: `\\x1b`, `\\u202e`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def gist(reason: str) -> str:
    """Return what a traceback ends with: Flower's simulation sends all of it as the reason of an error."""
    lines = [line.strip() for line in reason.splitlines() if line.strip(" '>")]
    return lines[-1] if len(lines) > 1 and '  File "' in reason else reason


def printable(text: object, longest: int = LONGEST) -> str:
    """Return what a peer said as a terminal, a ledger and a report can take it: escaped and cut short."""
    return escaped(str(text)[:longest])[:longest]
