"""Reviews a client's template: what the server may do here, in sentences, and PASS or FAIL."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from cdk_app.review.checks.boundary import Boundary
from cdk_app.review.checks.job import Job
from cdk_app.review.checks.network import Network
from cdk_app.review.checks.policies import Policies
from cdk_app.review.checks.resources import Resources
from cdk_app.review.checks.serving import Serving
from cdk_app.review.checks.state_machines import StateMachines
from cdk_app.review.checks.storage import Storage
from cdk_app.review.reading.parts import parts_of
from cdk_app.review.reading.problem import Problem
from cdk_app.review.reading.template import Template
from cdk_app.review.sentences import Sentences
from runtime.contract import ExitCode, FedstackError

Sections = dict[str, list[str]]


@dataclass(frozen=True)
class Review:
    """What a template allows.

    Parameters
    ----------
    sha256
        Of the template's bytes: what is reviewed is what is deployed when this is the same.
    sections
        Sentences, by their headings.
    problems
        What is beyond the boundary, or not understood.
    added, removed
        The sentences that the version before did not have, and those that only it had; None without one.
    """

    sha256: str
    sections: Sections
    problems: tuple[Problem, ...]
    added: Sections | None = None
    removed: Sections | None = None
    previous_sha256: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the template allows no more than the boundary, and all of it is understood."""
        return not self.problems

    @property
    def text(self) -> str:
        """What the command prints."""
        parts = [f"Template  sha256 {self.sha256}"]
        parts += [_section(heading, sentences) for heading, sentences in self.sections.items()]
        if self.added is not None and self.removed is not None:
            parts.append(self._difference())
        parts.append(self._verdict())
        return "\n\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        return {
            "sha256": self.sha256,
            "previous_sha256": self.previous_sha256,
            "verdict": "PASS" if self.passed else "FAIL",
            "sections": self.sections,
            "problems": [problem.as_json() for problem in self.problems],
            "added": self.added,
            "removed": self.removed,
        }

    def _difference(self) -> str:
        lines = [f"Against the version before  sha256 {self.previous_sha256}"]
        for sign, sections in (("-", self.removed), ("+", self.added)):
            for heading, sentences in (sections or {}).items():
                lines += [f"  {sign} {heading}: {sentence}" for sentence in sentences]
        return "\n".join(lines if len(lines) > 1 else [*lines, "  no difference in any sentence"])

    def _verdict(self) -> str:
        if self.passed:
            return "PASS: the template allows nothing beyond the boundary."
        lines = [f"FAIL: {len(self.problems)} objection(s)"]
        for number, problem in enumerate(self.problems, start=1):
            lines.append(f"  {number}. {problem.where}: {problem.what}")
            if problem.counterexample is not None:
                lines.append(f"     for example {problem.counterexample}")
        return "\n".join(lines)


def review(template: bytes, previous: bytes | None = None) -> Review:
    """Review a client's template, and tell what changed since another version of it.

    Raises
    ------
    FedstackError
        Where it is no client's template in JSON.
    """
    new = _reviewed(template)
    if previous is None:
        return new
    old = _reviewed(previous)
    return Review(
        new.sha256,
        new.sections,
        new.problems,
        added=_only_in(new.sections, old.sections),
        removed=_only_in(old.sections, new.sections),
        previous_sha256=old.sha256,
    )


def _reviewed(content: bytes) -> Review:
    digest = hashlib.sha256(content).hexdigest()
    try:
        template = Template(content)
        parts = parts_of(template)
        machines, job, network = StateMachines(parts), Job(parts), Network(parts)
        boundary = Boundary(parts)
        machines.bind()
        for check in (
            Policies(parts, boundary),
            Storage(parts, boundary),
            machines,
            job,
            network,
            Resources(parts),
            Serving(parts),
        ):
            check.check()
        sections = Sentences(parts, boundary, machines, network, job).sections()
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The template with SHA-256 {digest} is not built as a stack of this release ({error!r}).",
            "Review the template that this release's make synth wrote.",
        ) from error
    return Review(digest, sections, tuple(template.problems))


def _section(heading: str, sentences: list[str]) -> str:
    return "\n".join([heading, *(f"  {sentence}" for sentence in sentences or ["nothing"])])


def _only_in(one: Sections, other: Sections) -> Sections:
    left = {
        heading: [sentence for sentence in sentences if sentence not in other.get(heading, [])]
        for heading, sentences in one.items()
    }
    return {heading: sentences for heading, sentences in left.items() if sentences}
