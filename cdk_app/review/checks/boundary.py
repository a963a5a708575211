"""The committed boundary (boundary/policies.yaml) with the values of one template filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, Final

from cdk_app.review.reading.parts import Parts, data
from cdk_app.review.reading.problem import Counterexample, Problem
from cdk_app.review.reading.statements import Entry, Statement, excess, many
from cdk_app.review.reading.wildcards import LITERAL

_HOLE: Final = re.compile(r"\$\{(\w+)\}")


class Boundary:
    """What may be allowed; and every statement that was held against it, for whoever tells of them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._template = parts.template
        self.told: Mapping[str, Any] = data("policies.yaml")
        self.statements: dict[str, list[Statement]] = {}
        """Every statement that was read, by the part that it is of."""
        self.allowed: dict[str, list[Entry]] = {}
        """What the boundary allows of each part."""

    def hold(self, part: str, found: Sequence[Statement], entries: Any, on: str | None = None) -> None:
        """Object to each statement that allows what no entry does; `on` is what a trust policy is about."""
        self.statements.setdefault(part, []).extend(found)
        allowed = [entry for told in entries for entry in self._entries(told)]
        known = self.allowed.setdefault(part, [])
        known.extend(entry for entry in allowed if entry not in known)
        for statement in found:
            if not statement.allows:
                continue
            for principal, action, resource in excess(statement, allowed, self._familiar()):
                show = self._template.show
                example = Counterexample(show(principal), show(action), show(on or resource))
                what = f"It allows what the boundary of the {part} does not."
                self._template.problems.append(Problem(show(statement.where), what, example))

    def _familiar(self) -> list[tuple[str, str]]:
        """Return calls that make a telling example: what they reach has a name here."""
        told = self.told["examples"]
        return [(action, resource) for action, text in told for resource in self.filled(text)]

    def _entries(self, told: Mapping[str, Any]) -> Iterator[Entry]:
        """Yield a boundary's entry with the template's values in it, unless the template lacks one."""
        conditions = {key: self._all(many(values)) for key, values in told.get("if", {}).items()}
        who, resources = self._all(many(told["who"])), self._all(told.get("to", ["*"]))
        if who and resources and all(conditions.values()):
            yield Entry(who, tuple(told["do"]), resources, conditions)

    def _all(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(filled for text in texts for filled in self.filled(text))

    def filled(self, text: str) -> Iterator[str]:
        """Yield a text once for each combination of the values that its names have; a value is no pattern."""
        names = list(dict.fromkeys(_HOLE.findall(text)))
        choices = [many(self._parts.values.get(name, [])) for name in names]
        for values in product(*choices):
            known = {name: str(value).translate(LITERAL) for name, value in zip(names, values, strict=True)}
            yield _HOLE.sub(partial(_known, known), text)


def _known(known: Mapping[str, str], hole: re.Match[str]) -> str:
    return known[hole[1]]
