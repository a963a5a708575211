"""Exact inclusion of IAM's patterns: is every text of one pattern also a text of one of some others?

Patterns have `*` (any text) and `?` (one character) and nothing else, so they are regular languages, and
inclusion is decided by the subset construction of all patterns together (Hopcroft, Motwani and Ullman,
"Introduction to Automata Theory", 2.3.5 and 4.2). Nothing is sampled, nothing times out.

A value that is known after deployment only is one character of a private plane (`template.py`): `*` covers
it, `?` does not, since it stands for a text of any length, and no wildcard makes it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

LITERAL: Final = str.maketrans({"*": "\U000ffff0", "?": "\U000ffff1"})
"""How a star or a question mark is written that means itself, as in StringEquals."""

_OTHER: Final = "xyzuvw0123456789abcdefghijklmnopqrst"
"""Characters for what a pattern leaves open, in the order in which a counterexample uses them."""

_Subset = frozenset[tuple[int, int]]


def is_symbol(character: str) -> bool:
    """Whether a character stands for a value that only a deployment knows."""
    return "\U000f0000" <= character <= "\U000fffef"


def uncovered(pattern: str, others: Sequence[str]) -> str | None:
    """Return a shortest text of a pattern that none of the others covers; None where all are covered."""
    return _uncovered(pattern, tuple(others))


@lru_cache(maxsize=10_000)
def _uncovered(pattern: str, others: tuple[str, ...]) -> str | None:
    return next(
        (text for covering, text in cells(pattern, [[other] for other in others]) if not covering), None
    )


def cells(pattern: str, groups: Sequence[Sequence[str]]) -> Iterator[tuple[frozenset[int], str]]:
    """Yield every set of groups such that a text of a pattern is covered by exactly them, with such a text.

    Parameters
    ----------
    groups
        Lists of patterns; a group covers a text when one of its patterns does.
    """
    if not set("*?") & set(pattern):
        yield (
            frozenset(n for n, group in enumerate(groups) if any(matches(p, pattern) for p in group)),
            pattern,
        )
        return
    patterns = [(number, other) for number, group in enumerate(groups) for other in group]
    ordinary = _ordinary(pattern, [other for _, other in patterns])
    start = (
        _skipped(pattern, 0),
        frozenset((n, i) for n, (_, o) in enumerate(patterns) for i in _skipped(o, 0)),
    )
    waiting, seen, told = deque([(start, "")]), {start}, set()
    while waiting:
        (positions, subset), text = waiting.popleft()
        if len(pattern) in positions:
            covering = frozenset(patterns[n][0] for n, i in subset if i == len(patterns[n][1]))
            if covering not in told:
                told.add(covering)
                yield covering, text
        for character in _choices(pattern, positions, ordinary):
            after = (
                frozenset(j for i in positions for j in _step(pattern, i, character)),
                frozenset((n, j) for n, i in subset for j in _step(patterns[n][1], i, character)),
            )
            if after[0] and after not in seen:
                seen.add(after)
                waiting.append((after, text + character))


def uncovered_pair(
    left: str, right: str, areas: Sequence[tuple[Sequence[str], Sequence[str]]]
) -> tuple[str, str] | None:
    """Return a pair of texts, of two patterns, that no area (patterns of the one, of the other) covers."""
    for covering, first in cells(left, [area[0] for area in areas]):
        second = uncovered(right, [pattern for number in covering for pattern in areas[number][1]])
        if second is not None:
            return first, second
    return None


def matches(pattern: str, text: str) -> bool:
    """Whether a text is one of a pattern's."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=10_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "[^\U000f0000-\U000fffef]"}
    return re.compile("".join(signs.get(sign) or re.escape(sign) for sign in pattern), re.DOTALL)


def _skipped(pattern: str, position: int) -> frozenset[int]:
    """Return a position and those after it that are reached without a character: a star may be nothing."""
    reached = {position}
    while position < len(pattern) and pattern[position] == "*":
        position += 1
        reached.add(position)
    return frozenset(reached)


def _step(pattern: str, position: int, character: str) -> frozenset[int]:
    if position == len(pattern):
        return frozenset()
    sign = pattern[position]
    if sign == "*":
        return _skipped(pattern, position)
    if sign == character or (sign == "?" and not is_symbol(character)):
        return _skipped(pattern, position + 1)
    return frozenset()


def _ordinary(pattern: str, others: Sequence[str]) -> list[str]:
    """Return the characters that patterns tell apart, and one that stands for all others."""
    named = {c for text in (pattern, *others) for c in text if c not in "*?" and not is_symbol(c)}
    wild = next((c for c in _OTHER if c not in named), None)
    if wild is None:
        wild = next(chr(n) for n in range(0x100, 0x300) if chr(n) not in named)
    return [wild, *sorted(named)]


def _choices(pattern: str, positions: frozenset[int], ordinary: Sequence[str]) -> Sequence[str]:
    signs = {pattern[i] for i in positions if i < len(pattern)}
    if signs & set("*?"):
        return [*ordinary, *sorted(sign for sign in signs if is_symbol(sign))]
    return sorted(signs)
