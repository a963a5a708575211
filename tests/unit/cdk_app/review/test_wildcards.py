"""Inclusion of patterns, against brute force: every short text, matched by another implementation."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdk_app.review.reading.wildcards import cells, matches, uncovered, uncovered_pair

PATTERN = st.text(alphabet="ab*?", max_size=5)
LETTERS = "abz"  # z is what no pattern names
TEXTS = ["".join(letters) for length in range(7) for letters in product(LETTERS, repeat=length)]
SYMBOL = "\U000f0001"


def like(pattern: str, text: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, re.DOTALL))


@given(pattern=PATTERN, others=st.lists(PATTERN, max_size=3))
def test_a_text_is_uncovered_exactly_when_brute_force_finds_one(pattern: str, others: list[str]) -> None:
    found = uncovered(pattern, others)
    left = [t for t in TEXTS if like(pattern, t) and not any(like(other, t) for other in others)]
    if found is None:
        assert left == []
    else:
        assert like(pattern, found)
        assert not any(like(other, found) for other in others)
        assert not left or len(found) <= min(map(len, left)), "a shortest one"


@given(left=PATTERN, right=PATTERN, areas=st.lists(st.tuples(PATTERN, PATTERN), max_size=3))
def test_a_pair_is_uncovered_exactly_when_brute_force_finds_one(
    left: str, right: str, areas: list[tuple[str, str]]
) -> None:
    found = uncovered_pair(left, right, [([a], [b]) for a, b in areas])
    short = [text for text in TEXTS if len(text) <= 4]
    pairs = ((a, b) for a in short if like(left, a) for b in short if like(right, b))
    open_pair = next((p for p in pairs if not any(like(a, p[0]) and like(b, p[1]) for a, b in areas)), None)
    if found is None:
        assert open_pair is None
    else:
        assert like(left, found[0])
        assert like(right, found[1])
        assert not any(like(a, found[0]) and like(b, found[1]) for a, b in areas)


@given(pattern=PATTERN, text=st.text(alphabet=LETTERS, max_size=6))
def test_matching_agrees_with_a_regular_expression(pattern: str, text: str) -> None:
    assert matches(pattern, text) == like(pattern, text)


@given(pattern=PATTERN, groups=st.lists(st.lists(PATTERN, max_size=2), max_size=3))
def test_cells_are_the_sets_of_groups_that_some_text_has(pattern: str, groups: list[list[str]]) -> None:
    def covering(text: str) -> frozenset[int]:
        return frozenset(n for n, group in enumerate(groups) if any(like(p, text) for p in group))

    told = dict(cells(pattern, groups))
    assert all(like(pattern, text) and covering(text) == cell for cell, text in told.items())
    assert {covering(text) for text in TEXTS if like(pattern, text)} <= told.keys()


@pytest.mark.parametrize(
    ("pattern", "others", "included"),
    [
        ("arn:aws:s3:::*", ["arn:aws:s3:::b*", "arn:aws:s3:::*"], True),
        ("arn:aws:s3:::b/*", ["arn:aws:s3:::b*"], True),
        ("arn:aws:s3:::b*", ["arn:aws:s3:::b/*"], False),
        ("*", ["?*", ""], True),  # what no single one covers, both do
        ("*", ["?*"], False),
        ("a?c", ["a*c"], True),
        ("a*c", ["a?c"], False),
        ("arn:*:role/*-admin-*", ["arn:*:role/*"], True),  # z3 gave up on such
    ],
)
def test_what_is_included(pattern: str, others: list[str], included: bool) -> None:
    assert (uncovered(pattern, others) is None) is included


def test_what_only_a_deployment_knows_is_covered_by_a_star_and_by_itself_only() -> None:
    assert uncovered(SYMBOL, ["*"]) is None
    assert uncovered(f"{SYMBOL}/train/*", [f"{SYMBOL}/*"]) is None
    assert uncovered(SYMBOL, ["?"]) == SYMBOL, "it stands for a text of any length"
    assert uncovered(SYMBOL, ["\U000f0002"]) == SYMBOL
    assert uncovered("arn:*", [f"arn:{SYMBOL}"]) is not None
    assert uncovered("*", ["*"]) is None
