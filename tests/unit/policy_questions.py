"""Calls to ask an evaluator of IAM policies about, and what the review's boundary says of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cdk_app.review.checks.boundary import Boundary
from cdk_app.review.checks.policies import Policies
from cdk_app.review.checks.state_machines import StateMachines
from cdk_app.review.checks.storage import Storage
from cdk_app.review.reading.parts import Parts, parts_of
from cdk_app.review.reading.statements import PRESENT, Entry, Statement
from cdk_app.review.reading.template import Template
from cdk_app.review.reading.wildcards import matches

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """May this role make this call?"""

    role: str
    action: str
    resource: str
    context: Mapping[str, str]
    within: bool
    """What the boundary says."""


@dataclass(frozen=True)
class Subject:
    """A role of a template, as an evaluator takes it: every value that a deployment makes is made up."""

    part: str
    arn: str
    policies: tuple[Document, ...]
    trust: Document


class Asked:
    """A template, read and held against the boundary."""

    def __init__(self, content: bytes) -> None:
        self.template = Template(content)
        self.parts: Parts = parts_of(self.template)
        StateMachines(self.parts).bind()
        self.boundary = Boundary(self.parts)
        Policies(self.parts, self.boundary).check()
        Storage(self.parts, self.boundary).check()

    def concrete(self, value: Any) -> Any:
        """Return a value with a made-up name where only a deployment knows one."""
        if isinstance(value, Mapping):
            return {self.concrete(key): self.concrete(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self.concrete(part) for part in value]
        return named(self.template.show(value)) if isinstance(value, str) else value

    def subjects(self) -> Iterator[Subject]:
        """Yield every role that the template uses."""
        for role in self.template.of_kind("IAM::Role"):
            [use] = self.parts.uses[role.name]
            reference = self.template.reference(role.name)
            documents = [policy["PolicyDocument"] for policy in role.properties.get("Policies", [])]
            documents += [
                policy.properties["PolicyDocument"]
                for policy in self.template.of_kind("IAM::Policy", "IAM::ManagedPolicy")
                if reference in policy.properties["Roles"]
            ]
            yield Subject(
                f"{use} role",
                self.concrete(self.template.arn(role.name)),
                tuple(self.concrete(document) for document in documents),
                self.concrete(role.properties["AssumeRolePolicyDocument"]),
            )

    def questions(self, subject: Subject) -> Iterator[Question]:
        """Yield calls of a role on whatever the template names, with and without what conditions want."""
        statements = [
            s for s in self.boundary.statements[subject.part] if self.concrete(s.principals[0]) == subject.arn
        ]
        entries = [e for e in self.boundary.allowed[subject.part] if self.concrete(e.who[0]) == subject.arn]
        contexts = [{}, _context(statements), _context(statements[::-1])]
        for action in sorted(self._actions()):
            for resource in sorted(self._resources()):
                if resource.split(":")[2] == action.split(":")[0]:
                    for context in contexts:
                        within = any(_allows(entry, action, resource, context) for entry in entries)
                        yield Question(
                            subject.arn,
                            action,
                            self.concrete(resource),
                            {key: self.concrete(value) for key, value in context.items()},
                            within,
                        )

    def _actions(self) -> set[str]:
        told = {a for found in self.boundary.statements.values() for s in found for a in s.actions}
        return {a for a in told | {a for a, _ in self.boundary.told["examples"]} if "*" not in a}

    def _resources(self) -> set[str]:
        told = {r for found in self.boundary.statements.values() for s in found for r in s.resources}
        examples = {r for _, text in self.boundary.told["examples"] for r in self.boundary.filled(text)}
        return {r.replace("*", "x") for r in told | examples if r.startswith("arn:")}


def named(shown: str) -> str:
    """Return a text in which `<data bucket>` is a name that could be one."""
    return re.sub(r"<([^>]+)>", lambda found: "made-" + re.sub(r"\W+", "-", found[1]).lower(), shown)


def _context(statements: list[Statement]) -> dict[str, str]:
    """Return what passes as many of the conditions of some statements as one call can."""
    context: dict[str, str] = {}
    for statement in statements:
        for condition in statement.conditions:
            if condition.operator == "Null":
                context.setdefault(condition.key, "*")
            else:
                context.setdefault(condition.key, condition.values[0].replace("*", "x"))
    return context


def _allows(entry: Entry, action: str, resource: str, context: Mapping[str, str]) -> bool:
    return (
        any(matches(a.lower(), action.lower()) for a in entry.actions)
        and any(matches(r, resource) for r in entry.resources)
        and all(
            key in context and (values == (PRESENT,) or any(matches(v, context[key]) for v in values))
            for key, values in entry.conditions.items()
        )
    )
