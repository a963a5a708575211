"""What a person may have meant: the nearest known word, or all there are. Standard library only."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(word: str, known: Iterable[str]) -> str:
    """Return a sentence that helps with a word that is not known."""
    words = list(known)
    folded = {each.casefold(): each for each in words}
    if found := difflib.get_close_matches(word.casefold(), folded, 1, 0.6):
        return f"Did you mean {folded[found[0]]!r}?"
    return f"There are {', '.join(words)}." if words else ""
