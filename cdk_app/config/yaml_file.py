"""YAML as a person means it: a key that stands twice is an error, and not the last one's value."""

from __future__ import annotations

from typing import Any, Final

import yaml
from yaml.constructor import ConstructorError

MOST_VALUES: Final = 100_000
"""What aliases may amount to, written out: more than any federation has."""


class _Strict(yaml.SafeLoader):
    """SafeLoader that takes no key twice, and text alone as a key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag not in (_TEXT, _MERGE):
                what = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise ConstructorError(
                    None, None, f"the key {what} in line {line} is no text: put it in quotes"
                )
            if key.value in seen:
                told = f"the key {key.value!r} in line {line} is there already, in line {seen[key.value]}"
                raise ConstructorError(None, None, told)
            seen[key.value] = line
        return super().construct_mapping(node, deep)


_TEXT: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "tag:yaml.org,2002:merge"


def read_yaml(text: str) -> object:
    """Return what a YAML document says.

    Raises
    ------
    yaml.YAMLError, ValueError
        When it is none, has a key twice, or is more than a person writes.
    """
    try:
        said: object = yaml.load(text, _Strict)  # noqa: S506 - it is a SafeLoader
        _count(said, 0)
    except RecursionError:
        raise ValueError("it is nested too deeply, or has an alias of itself") from None
    return said


def _count(said: object, before: int) -> int:
    """Count the values, each alias anew, and give up where they are too many."""
    before += 1
    if before > MOST_VALUES:
        raise ValueError(f"it has more than {MOST_VALUES:,} values, its aliases written out")
    if isinstance(said, dict | list):
        for each in said.values() if isinstance(said, dict) else said:
            before = _count(each, before)
    return before
