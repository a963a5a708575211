"""What the pages of all runs share: templates that escape, and how numbers are shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Template

from runtime.server.report.charts import finite

HERE: Final = Path(__file__).parent

MOST_NAMED: Final = 10
"""Clients that a sentence names; the rest are counted."""


def template(name: str, folder: Path = HERE) -> Template:
    """Return a template of a folder; whatever text it is given is escaped."""
    environment = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment.get_template(name)


def visible(report: Mapping[str, Any]) -> str:
    """Say whose updates the server saw; '' where it saw only sums, or noise."""
    names = (report.get("privacy") or {}).get("visible") or []
    more = f" and {len(names) - MOST_NAMED:,} more clients" if len(names) > MOST_NAMED else ""
    return f"updates of {', '.join(names[:MOST_NAMED])}{more} were visible to the server" if names else ""


def clean(value: Any) -> Any:
    """Return the report without what a page cannot show: control characters, NaN and infinity."""
    if isinstance(value, str):
        return " ".join("".join(c if c.isprintable() else " " for c in value).split())
    if isinstance(value, Mapping):
        return {clean(key): clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [clean(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _num(value: object, digits: int = 0) -> str:
    return "\u2013" if (number := finite(value)) is None else f"{number:,.{digits}f}"


def _duration(value: object) -> str:
    if (seconds := finite(value)) is None or seconds < 120:
        return _num(value, 1 if (seconds or 0) >= 10 else 2) + (" s" if seconds is not None else "")
    hours, minutes, rest = round(seconds) // 3600, round(seconds) // 60 % 60, round(seconds) % 60
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _size(value: float) -> str:
    power = min(3, int(math.log10(max(value, 1)) / 3))
    return f"{value / 1000**power:,.{min(power, 1)}f} {('B', 'kB', 'MB', 'GB')[power]}"


_FILTERS: Final = {"num": _num, "duration": _duration, "size": _size}
"""How the page shows numbers, times and bytes."""
