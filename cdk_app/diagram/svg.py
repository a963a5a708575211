"""The few shapes that the pictures have, as SVG text that is legible on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

LINE: Final = 17
"""Height of a line of text."""
_STYLE: Final = """
    text { font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1c2733; }
    .head { font-weight: 600; font-size: 14px; }
    .soft { fill: #51606e; }
    .page { fill: #ffffff; }
    .server { fill: #eef3fb; stroke: #3b6fb6; }
    .client { fill: #eef7f1; stroke: #2f7d4f; }
    .card { fill: #ffffff; stroke: #9aa7b3; }
    .arrow { stroke: #51606e; fill: none; stroke-width: 1.5; }
    .tip { fill: #51606e; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6ebf0; }
      .soft, .tip { fill: #a9b6c2; }
      .page { fill: #1b2129; }
      .server { fill: #202c3d; stroke: #7aa5e0; }
      .client { fill: #1d2e25; stroke: #6fbf8f; }
      .card { fill: #232b35; stroke: #66727e; }
      .arrow { stroke: #a9b6c2; }
    }
"""


def page(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return a picture with a background of its own."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{escape(title)}">',
            f"  <title>{escape(title)}</title>",
            f"  <style>{_STYLE}  </style>",
            '  <defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto-start-reverse"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
            f'  <rect class="page" width="{width}" height="{height}" rx="6"/>',
            *(f"  {part}" for part in parts),
            "</svg>\n",
        ]
    )


def box(kind: str, x: int, y: int, width: int, height: int) -> str:
    """Return a frame: `server`, `client` or `card`."""
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'


def text(x: int, y: int, words: str, kind: str = "", *, middle: bool = False) -> str:
    """Return one line of text."""
    how = (f' class="{kind}"' if kind else "") + (' text-anchor="middle"' if middle else "")
    return f'<text{how} x="{x}" y="{y}" xml:space="preserve">{escape(words)}</text>'


def arrow(start: int, end: int, y: int) -> str:
    """Return an arrow from left to right, or from right to left."""
    return f'<path class="arrow" d="M{start} {y}H{end}" marker-end="url(#tip)"/>'


def wrapped(words: str, columns: int, indent: str = "") -> list[str]:
    """Break a sentence into lines of so many characters, at spaces; what is one word stays whole."""
    lines, line = [], ""
    for word in words.split(" "):
        if line and len(line) + len(word) >= columns:
            lines.append(line)
            line = indent + word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
