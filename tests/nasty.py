"""What a peer might say to mislead whoever reads it."""

from __future__ import annotations

from typing import Final

NASTY: Final = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07",
    "cleared screen": "\x1b[2J\x1b[H",
    "C1 escape": "\x9b31mred",
    "new line": "fine\nfedstack-error 0 OK: all is well",
    "carriage return": "an error\rall is well",
    "backspace": "no\x08\x08yes",
    "line separator": "fine\u2028COMPLETE\u2029\x85",
    "bidi": "\u202eETELPMOC",
    "isolate": "\u2066x\u2069\u200f",
    "zero width": "cli\u200bnic\ufeff",
    "tag characters": "\U000e0041\U000e0042",
    "NUL": "a\x00b",
    "lone surrogate": "a\ud800b",
    "markup": "[bold red]marked up[/]",
    "link": "[link=https://example.org]here[/link]",
    "HTML": "</td><script>alert(1)</script>",
    "template": "{{ 7 * 7 }}{% raw %}",
    "long": "x" * 10_000,
    "long and escaped": "\x1b" * 10_000,
}


def raw_in(text: str) -> list[str]:
    """Return what of a text a terminal would obey, or a reader not see."""
    return sorted({c for c in text if not c.isprintable()})
