"""IAM's condition operators, over the context of a request.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Single-valued vs. multivalued
context keys".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final


def _like(wanted: str, value: str) -> bool:
    return bool(re.fullmatch(re.escape(wanted).replace(r"\*", ".*").replace(r"\?", "."), value, re.DOTALL))


def _like_arn(wanted: str, value: str) -> bool:
    """Compare ARNs part by part: a wildcard does not reach over a colon, but in the last part."""
    left, right = wanted.split(":", 5), value.split(":", 5)
    return len(left) == len(right) and all(map(_like, left, right))


_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": _like,
    "ArnEquals": _like_arn,
    "ArnLike": _like_arn,
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
    "NumericEquals": lambda wanted, value: float(value) == float(wanted),
    "NumericLessThan": lambda wanted, value: float(value) < float(wanted),
    "NumericLessThanEquals": lambda wanted, value: float(value) <= float(wanted),
    "NumericGreaterThan": lambda wanted, value: float(value) > float(wanted),
    "NumericGreaterThanEquals": lambda wanted, value: float(value) >= float(wanted),
}
_NEGATED: Final = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
}


def holds(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, Any]) -> bool:
    """Whether every condition of a statement holds: operators and keys are joined by AND."""
    known = {key.lower(): value for key, value in context.items()}
    return all(
        _key_holds(operator, _texts(wanted), known.get(key.lower()))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _texts(value: Any) -> list[str]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in values]


def _key_holds(operator: str, wanted: Sequence[str], given: Any) -> bool:
    quantifier, _, name = operator.rpartition(":")
    if name == "Null":
        return (given is None) == (wanted[0].lower() == "true")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    if given is None:
        # A negated operator is true of a key that is not there; ForAllValues is true of no values.
        return if_exists or name in _NEGATED or quantifier == "ForAllValues"
    values = _texts(given)
    if name in _NEGATED:
        test = _TESTS[_NEGATED[name]]
        return all(not any(test(w, v) for w in wanted) for v in values)
    test = _TESTS[name]
    each = (any(test(w, v) for w in wanted) for v in values)
    return all(each) if quantifier == "ForAllValues" else any(each)
