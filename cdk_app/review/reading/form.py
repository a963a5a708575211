"""Compares a value of a template with its reviewed form, and reads from it what the form leaves open.

A form is plain YAML. `${name}` in it is a value that is not fixed: the first place says what it is, every
other place must say the same. A key that ends with `?` may be missing; one with a `*` stands for any number
of keys; `why` is no key, but told with what is found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import Any, Final

from cdk_app.review.reading.wildcards import matches

_HOLE: Final = re.compile(r"\$\{(\w+)\}")
_MISSING: Final = object()
_WHY: Final = "why"
_SKIPPED: Final = "job_yaml"
"""A hole for what has a form of its own."""
_LONGEST: Final = 400
"""What is shown of a value ends here."""
_LONG: Final = 120
"""Of texts that are longer than this, the place is shown where they begin to differ."""
Values = dict[str, Any]


def expression(value: Any) -> bool:
    """Whether a value of a state machine is computed while it runs, from its input among other things."""
    return isinstance(value, str) and value.strip().startswith("{%")


class Form:
    """Compares values with forms; `values` grows by what the forms leave open.

    Parameters
    ----------
    show
        Writes a value out for a person.
    """

    def __init__(self, values: Values, show: Callable[[str], str]) -> None:
        self.values = values
        self._show = show

    def differences(self, form: Any, value: Any, path: str, why: str = "") -> Iterator[str]:
        """Yield a sentence for each place in which a value is not as its form."""
        if isinstance(form, Mapping) and isinstance(value, Mapping):
            yield from self._mapping(form, value, path, why)
        elif isinstance(form, list) and isinstance(value, list) and len(form) == len(value):
            for number, (part, given) in enumerate(zip(form, value, strict=True)):
                yield from self.differences(part, given, f"{path}[{number}]", why)
        elif not (isinstance(form, str) and self._text(form, value)) and not self._same(form, value):
            yield f"{path} {self._sentence(form, value)}{why}"

    def filled(self, text: str) -> str:
        """Return a form's text with the values that are known by now."""
        return _HOLE.sub(lambda found: str(self.values.get(found[1], found[0])), text)

    def _mapping(
        self, form: Mapping[str, Any], value: Mapping[str, Any], path: str, why: str
    ) -> Iterator[str]:
        why = _why(form) or why
        form = {key: part for key, part in form.items() if key != _WHY}
        exact = {
            key.removesuffix("?"): (part, key.endswith("?")) for key, part in form.items() if "*" not in key
        }
        for key, (part, optional) in exact.items():
            given = value.get(key, _MISSING)
            if given is not _MISSING:
                yield from self.differences(part, given, f"{path}.{key}", why)
            elif not optional:
                yield f"{path}.{key} is missing.{_why(part) or why}"
        for key in value.keys() - exact.keys():
            pattern = next((p for p in form if "*" in p and matches(p, key)), None)
            if pattern is None:
                said = self._said(value[key])
                yield f"{path}.{key} is not part of the reviewed form; it is {said}.{why}"
            else:
                yield from self.differences(form[pattern], value[key], f"{path}.{key}", why)

    @staticmethod
    def _same(form: Any, value: Any) -> bool:
        return type(form) is type(value) and form == value

    def _text(self, form: str, value: Any) -> bool:
        """Whether a leaf is as a form's text says; its open values are kept."""
        whole = _HOLE.fullmatch(form)
        if whole and whole[1] == _SKIPPED:
            return True
        if whole and whole[1] == "anything":
            return isinstance(value, str) and not expression(value)
        if whole and not isinstance(value, str | Mapping | list):
            return bool(self.values.setdefault(whole[1], value) == value)
        if not isinstance(value, str) or (expression(value) and not expression(form)):
            return False
        found = re.fullmatch(self._regular(form), value, re.DOTALL)
        if found is None:
            return False
        self.values.update(found.groupdict())
        return True

    def _regular(self, form: str) -> str:
        """Return the regular expression of a form's text."""
        parts, at, opened = "", 0, set()
        # Inside an expression a value could be more of the expression.
        anything = r"[\w+/=.-]+?" if expression(form) else r"[^'\"\n]+?"
        for hole in _HOLE.finditer(form):
            parts += re.escape(form[at : hole.start()])
            name, at = hole[1], hole.end()
            if name in self.values:
                parts += re.escape(str(self.values[name]))
            elif name in opened:
                parts += f"(?P={name})"
            else:
                opened.add(name)
                parts += f"(?P<{name}>{anything})"
        return parts + re.escape(form[at:])

    def _sentence(self, form: Any, value: Any) -> str:
        wanted = self.filled(form) if isinstance(form, str) else form
        if isinstance(wanted, str) and isinstance(value, str) and min(len(wanted), len(value)) > _LONG:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(wanted, value, strict=False))
            at = max(0, sum(1 for _ in same) - 20)
            said, wanted = (self._show(f"...{text[at : at + _LONG]}...") for text in (value, wanted))
            return f"is, from its character {at} on, {said}; the reviewed form is {wanted}."
        wanted = self._said(wanted)
        if expression(value) and not expression(form):
            return f"is not pinned: it is computed as {self._said(value)}; the reviewed form is {wanted}."
        return f"is {self._said(value)}; the reviewed form is {wanted}."

    def _said(self, value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return self._show(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...") or "empty"


def _why(form: Any) -> str:
    """Return what a form says that it is for, as the end of a sentence."""
    return f" {form[_WHY]}" if isinstance(form, Mapping) and _WHY in form else ""
