"""Fits pages that are read in the repository, too, to the site: what is not on it is named, not linked."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?:\.\./)+(?!docs/)[\w./-]*\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to the repository's own files, which the site has not, into their words."""
    pattern = (
        _OUTSIDE
        if "/" not in page.file.src_uri
        else re.compile(_OUTSIDE.pattern.replace(r"(?:\.\./)+", r"(?:\.\./){2,}"))
    )
    return pattern.sub(r"\1", markdown)
