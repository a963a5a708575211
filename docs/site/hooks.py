"""Fits pages that are read in the repository, too, to the site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_OUTSIDE = r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?:\.\./){%d,}(?!docs/)[\w./-]*\)"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Name what is not on the site instead of linking it, and indent lists as Python-Markdown wants them."""
    steps_out = page.file.src_uri.count("/") + 1
    return "\n".join(_indented(re.sub(_OUTSIDE % steps_out, r"\1", markdown)))


def _indented(markdown: str) -> Iterator[str]:
    """Give what belongs to a numbered item four spaces and an empty line after it."""
    fenced, inside = False, False
    for line in markdown.split("\n"):
        if inside and re.match(r"\d+\. ", line):
            yield ""
        fenced ^= line.startswith("```")
        inside = line.startswith("   ") and not fenced
        yield f" {line}" if inside else line
