"""Compares policy documents by what they say, however they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

Document = str | Mapping[str, Any]
_WORDS: Final = {
    "Action": "",
    "NotAction": "all but ",
    "Resource": "on ",
    "NotResource": "on all but ",
    "Principal": "for ",
    "NotPrincipal": "for all but ",
    "Condition": "if ",
}


def differences(live: Document | None, expected: Document | None) -> Iterator[str]:
    """Yield how a policy as it is differs from one as it should be, statement by statement."""
    is_there, should_be = _statements(live), _statements(expected)
    for key, statement in should_be.items():
        if key not in is_there:
            yield f"it lacks the statement {_gist(statement)}"
    for key, statement in is_there.items():
        if key not in should_be:
            yield f"it has a statement more, {_gist(statement)}"


def _statements(document: Document | None) -> dict[str, Mapping[str, Any]]:
    if document is None:
        return {}
    parsed = (
        json.loads(unquote(document) if document.startswith("%7B") else document)
        if isinstance(document, str)
        else document
    )
    statements = parsed.get("Statement", [])
    return {_canonical(s): s for s in ([statements] if isinstance(statements, Mapping) else statements)}


def _canonical(statement: Mapping[str, Any]) -> str:
    said = {key: value for key, value in statement.items() if key != "Sid"}
    return json.dumps({key: _value(key, value) for key, value in said.items()}, sort_keys=True)


def _value(key: str, value: Any) -> Any:
    """Return a value in one form: lists of text in order, and accounts by their ids."""
    if key in ("Principal", "NotPrincipal"):
        named = {"AWS": value} if isinstance(value, str) else value
        return {kind: sorted(map(_account, _listed(names))) for kind, names in named.items()}
    if key in ("Condition",):
        return {
            operator: {name: sorted(map(_text, _listed(values))) for name, values in pairs.items()}
            for operator, pairs in value.items()
        }
    if key == "Effect":
        return value
    return sorted(map(_text, _listed(value)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _account(principal: str) -> str:
    return principal.split(":")[4] if principal.endswith(":root") else principal


def _gist(statement: Mapping[str, Any]) -> str:
    """Return a statement in the few words by which a person finds it."""
    sid = f"{statement['Sid']!r}: " if statement.get("Sid") else ""
    parts = [str(statement.get("Effect"))]
    for key, before in _WORDS.items():
        if key in statement:
            parts.append(before + _short(statement[key]))
    return f"({sid}{' '.join(parts)})"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
