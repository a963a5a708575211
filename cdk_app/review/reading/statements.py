"""IAM's policy statements as a review reads them, and whether one allows more than a boundary's entries do.

Source: IAM User Guide, "IAM JSON policy elements reference". A deny never makes an allow smaller here: that
can only find too much, never too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cdk_app.review.reading.template import Template, parsed
from cdk_app.review.reading.wildcards import LITERAL, matches, uncovered, uncovered_pair

ANYBODY: Final = "anybody"
PRESENT: Final = "present"
"""A boundary's word for a key that a request must have, whatever its value."""
ONE_WORD: Final = "one word"
"""Its word for a key that is held to one literal value."""

_EXACT: Final = {"StringEquals", "Bool", "NumericEquals"}
_PATTERNS: Final = {"StringLike", "ArnEquals", "ArnLike"}
_OTHERS: Final = {
    "StringNotEquals",
    "StringNotLike",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "ArnNotEquals",
    "ArnNotLike",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateLessThan",
    "DateGreaterThan",
    "IpAddress",
    "NotIpAddress",
    "Null",
}
_ELEMENTS: Final = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
_NEGATIONS: Final = {"NotAction", "NotResource", "NotPrincipal"}
_VARIABLE: Final = re.compile(r"\$\{([^}]+)\}")


@dataclass(frozen=True)
class Condition:
    """One operator on one key."""

    operator: str
    key: str
    values: tuple[str, ...]

    def within(self, allowed: Sequence[str]) -> bool:
        """Whether the key is there, and every value that passes is one of the allowed patterns'."""
        if list(allowed) == [PRESENT]:
            return self.operator in _EXACT | _PATTERNS or (self.operator, self.values) == ("Null", ("false",))
        if list(allowed) == [ONE_WORD]:
            value = self.values[0] if len(self.values) == 1 else ""
            return self.operator == "StringEquals" and bool(value.strip()) and not _VARIABLE.search(value)
        if self.operator in _EXACT:
            return all(uncovered(value.translate(LITERAL), allowed) is None for value in self.values)
        if self.operator in _PATTERNS:
            return all(uncovered(_opened(value), allowed) is None for value in self.values)
        return False


@dataclass(frozen=True)
class Statement:
    """One statement of a policy; the resource of a trust policy is the role itself, here `*`."""

    where: str
    allows: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Entry:
    """What a boundary allows: somebody, some actions, on some resources, under conditions on some keys."""

    who: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, tuple[str, ...]]

    def holds_for(self, statement: Statement) -> bool:
        """Whether whatever passes a statement's conditions passes this entry's."""
        return all(
            any(c.key.lower() == key.lower() and c.within(values) for c in statement.conditions)
            for key, values in self.conditions.items()
        )


def excess(
    statement: Statement, entries: Sequence[Entry], familiar: Sequence[tuple[str, str]] = ()
) -> Iterator[tuple[str, str, str]]:
    """Yield, for each principal, an action and a resource that a statement allows and no entry does.

    Parameters
    ----------
    familiar
        Actions with resources that make a better example than an automaton's shortest text, if they are one.
    """
    held = [entry for entry in entries if entry.holds_for(statement)]
    for principal in statement.principals:
        areas = [
            ([a.lower() for a in entry.actions], entry.resources) for entry in held if principal in entry.who
        ]
        found = _first_uncovered(statement, areas)
        if found is None:
            continue
        better = (pair for pair in familiar if _is_example(pair, statement, areas))
        yield (principal, *next(better, found))


Areas = Sequence[tuple[Sequence[str], Sequence[str]]]


def _first_uncovered(statement: Statement, areas: Areas) -> tuple[str, str] | None:
    for action in statement.actions:
        for resource in statement.resources:
            pair = uncovered_pair(action.lower(), _opened(resource), areas)
            if pair is not None:
                return (action if pair[0] == action.lower() else pair[0]), pair[1]
    return None


def _is_example(pair: tuple[str, str], statement: Statement, areas: Areas) -> bool:
    """Whether a statement allows a pair and no area covers it."""
    action, resource = pair[0].lower(), pair[1]
    return (
        any(matches(a.lower(), action) for a in statement.actions)
        and any(matches(_opened(r), resource) for r in statement.resources)
        and not any(
            any(matches(a, action) for a in actions) and any(matches(r, resource) for r in resources)
            for actions, resources in areas
        )
    )


def refuses(
    statement: Statement, action: str, resource: str, but: str | None = None, when: Condition | None = None
) -> bool:
    """Whether a statement denies an action on a resource to everybody, one principal aside or in one case."""
    if statement.allows or statement.principals != (ANYBODY,):
        return False
    if uncovered(action.lower(), [a.lower() for a in statement.actions]) is not None:
        return False
    if uncovered(resource, statement.resources) is not None:
        return False
    if but is None:
        return statement.conditions == (() if when is None else (when,))
    if len(statement.conditions) != 1:
        return False
    [condition] = statement.conditions
    negated = condition.operator in ("ArnNotEquals", "ArnNotLike", "StringNotEquals", "StringNotLike")
    return negated and condition.key.lower() == "aws:principalarn" and condition.values == (but,)


def statements(
    template: Template, document: Any, where: str, *, principal: str | None = None, own: str = "*"
) -> list[Statement]:
    """Return the statements of a policy document; what is not understood is a problem of the template.

    Parameters
    ----------
    principal
        Whom an identity policy is for; None where each statement says so itself.
    own
        What `*`, or no resource at all, stands for in the policy of a resource.
    """
    if isinstance(document, str):
        try:
            document = parsed(document)
        except ValueError:
            document = None
    if not isinstance(document, Mapping) or "Statement" not in document or document.keys() - _DOCUMENT:
        template.object(where, "Its policy is no policy document of the known form.")
        return []
    listed = document["Statement"]
    return [
        found
        for number, statement in enumerate(listed if isinstance(listed, list) else [listed], start=1)
        for found in _statement(template, statement, _place(where, statement, number), principal, own)
    ]


_DOCUMENT: Final = {"Version", "Id", "Statement"}


def _place(where: str, statement: Any, number: int) -> str:
    name = statement.get("Sid") if isinstance(statement, Mapping) else None
    return f"{where}, statement {name or number}"


def _statement(
    template: Template, statement: Any, where: str, principal: str | None, own: str
) -> Iterator[Statement]:
    if not isinstance(statement, Mapping) or statement.get("Effect") not in ("Allow", "Deny"):
        template.object(where, "It is no statement that allows or denies.")
        return
    allows = statement["Effect"] == "Allow"
    for element in sorted(statement.keys() - _ELEMENTS):
        if allows or element not in _NEGATIONS:
            template.object(
                where,
                f"It has {element}, which this review does not know in a statement that "
                f"{'allows' if allows else 'denies'}.",
            )
            return
    if statement.keys() & _NEGATIONS:
        return  # a deny of another form: it takes away, and counts for nothing here
    principals = [principal] if principal is not None else _principals(template, statement.get("Principal"))
    actions = [str(action) for action in many(statement.get("Action", []))]
    resources = [str(r) if r != "*" else own for r in many(statement.get("Resource", own))]
    if not principals or not actions or not resources:
        template.object(where, "It names no principal, no action or no resource.")
        return
    conditions = tuple(_conditions(template, statement.get("Condition", {}), where))
    yield Statement(where, allows, tuple(principals), tuple(actions), tuple(resources), conditions)


def _principals(template: Template, principal: Any) -> list[str]:
    """Return whom a statement names: `account 111122223333`, `service x.amazonaws.com`, or an ARN."""
    if principal == "*":
        return [ANYBODY]
    if not isinstance(principal, Mapping):
        return []
    return [
        _principal(template, kind, str(value)) for kind, values in principal.items() for value in many(values)
    ]


def _principal(template: Template, kind: str, value: str) -> str:
    if kind == "Service":
        return f"service {value}"
    if kind != "AWS":
        return f"{kind} {value}"
    if value == "*":
        return ANYBODY
    root = re.fullmatch(rf"arn:{template.partition}:iam::([^:]+):root", value)
    account = root[1] if root else value
    return f"account {account}" if root or re.fullmatch(r"\d{12}", value) or len(value) == 1 else value


def _conditions(template: Template, conditions: Any, where: str) -> Iterator[Condition]:
    if not isinstance(conditions, Mapping):
        template.object(where, "Its condition is of no known form.")
        return
    for operator, keys in conditions.items():
        bare = re.sub(r"^(?:ForAllValues|ForAnyValue):|IfExists$", "", operator)
        if bare not in _EXACT | _PATTERNS | _OTHERS or not isinstance(keys, Mapping):
            template.object(
                where, f"It has the condition operator {operator}, which this review does not know."
            )
            continue
        for key, values in keys.items():
            told = (str(v).lower() if isinstance(v, bool) else str(v) for v in many(values))
            yield Condition(operator, str(key), tuple(told))


def _opened(pattern: str) -> str:
    """Return a pattern with `*` where a policy variable stands, which a request fills in."""
    escaped = re.sub(r"\$\{([*?$])\}", lambda found: found[1].translate(LITERAL), pattern)
    return _VARIABLE.sub("*", escaped)


def many(value: Any) -> list[Any]:
    """Return a list, as every element of a policy may be one value or a list of them."""
    return list(value) if isinstance(value, list) else [value]
