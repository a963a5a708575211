"""What a review objects to: one thing each, with where it stands and an example of what it lets happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Counterexample:
    """Something that the template allows and the boundary does not."""

    principal: str
    action: str
    resource: str

    def __str__(self) -> str:
        """Return it as one line of the review."""
        return f"{self.principal} may call {self.action} on {self.resource}"


@dataclass(frozen=True)
class Problem:
    """One objection.

    Parameters
    ----------
    where
        The part of the template: a logical id, and what in it.
    what
        What is wrong, as a sentence.
    """

    where: str
    what: str
    counterexample: Counterexample | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        example = self.counterexample
        return {
            "where": self.where,
            "what": self.what,
            "counterexample": None if example is None else vars(example),
        }
