"""The report's charts: inline SVG that takes its colours from the page; same data, same bytes."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID, FEDERATED, POOLED, LOSS = (f"#0000f{n}" for n in range(6))
_FROM_PAGE: Final = {INK: "ink", MUTED: "muted", GRID: "grid", FEDERATED: "fed", POOLED: "pool", LOSS: "bad"}
"""Colours that stand for the page's own, which differ between light, dark and print."""

_STYLE: Final[Any] = {  # the names of these settings are a type that differs between versions
    "svg.fonttype": "none",
    "font.size": 11.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
_HALF_UP: Final = dict.fromkeys(("roc_auc", "macro_auc", "concordance"), (0.5, 1.0))
_AXIS: Final = _HALF_UP | dict.fromkeys(("pr_auc", "accuracy", "r2", "d2"), (0.0, 1.0))
"""The lowest and highest of a metric that are drawn; a loss is drawn from zero to the largest there is."""

_Ends = list[tuple[float, str, str]]


def finite(value: object) -> float | None:
    """Return a number that can be drawn, or None for what is absent, not a number or not finite."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None  # type: ignore[arg-type]


def svg(label: str, size: tuple[int, int], margins: Sequence[float], draw: Callable[[Axes], None]) -> str:
    """Draw one panel of `size` CSS pixels; margins (left, bottom, right, top) are pixels as well."""
    (width, height), (left, bottom, right, top) = size, margins
    out = io.StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": label}):
        figure = Figure(figsize=(width / 72, height / 72))
        inner = (width - left - right) / width, (height - bottom - top) / height
        draw(figure.add_axes((left / width, bottom / height, *inner)))
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    body = out.getvalue().split("<svg", 1)[1].split(">", 1)[1]
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    for sentinel, name in _FROM_PAGE.items():
        body = body.replace(sentinel, f"var(--{name})")
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label)}">{body}'


def _label_ends(axes: Axes, ends: _Ends) -> None:
    """Write each line's name beside its right end, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = (high - low) * 14 / (axes.bbox.height * 72 / axes.figure.dpi)
    ends = sorted(ends)
    places: list[float] = []
    for value, _, _ in ends:
        places.append(max(value, places[-1] + gap) if places else value)
    ceiling = high
    for n in reversed(range(len(places))):
        places[n] = min(places[n], ceiling)
        ceiling = places[n] - gap
    across = axes.get_yaxis_transform()
    for (value, text, colour), place in zip(ends, places, strict=True):
        axes.plot([1, 1.05], [value, place], color=colour, lw=1.2, transform=across, clip_on=False)
        axes.text(1.065, place, text, transform=across, va="center", fontsize=11)
    axes.set_ylim(low, high)


def _by_round(axes: Axes) -> None:
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.grid(visible=False, axis="x")
    axes.margins(x=0.015, y=0.08)


def per_round(rounds: Sequence[Mapping[str, Any]], metric: str, label: str, pooled: object, best: Any) -> str:
    """Draw one test metric over the rounds, the pooled model's as a dashed line; '' without a value.

    The axis is the metric's own, from guessing to perfect, so that what is equal for all that matters looks
    equal: it does not follow the figures.
    """
    values = {r["round"]: v for r in rounds if (v := finite((r.get("test") or {}).get(metric))) is not None}
    if not values:
        return ""
    line = finite(pooled)

    def draw(axes: Axes) -> None:
        _by_round(axes)
        (*_, last), marker = values.values(), "o" if len(values) <= 15 else ""
        axes.plot(list(values), list(values.values()), color=FEDERATED, lw=2, marker=marker, ms=3.5)
        ends: _Ends = [(last, f"{last:.3f}", FEDERATED)]
        if line is not None:
            axes.axhline(line, color=POOLED, lw=1.5, ls=(0, (4, 3)))
            ends.append((line, f"{line:.3f} pooled", POOLED))
        if best in values:
            axes.plot([best], [values[best]], "o", ms=9, mfc="none", mec=FEDERATED, mew=1.5)
        low, high = _AXIS.get(metric, (0.0, None))
        shown = [*values.values(), *([] if line is None else [line])]
        axes.set_ylim(min([low, *shown]), high if high is not None else 1.08 * max(shown))
        _label_ends(axes, ends)

    said = f"{label} by round: {_course(values)}"
    return svg(said + (f"; pooled {line:.3f}" if line is not None else ""), (335, 215), (54, 40, 96, 8), draw)


def _course(values: Mapping[int, float]) -> str:
    """Say how a metric went, for who does not see the chart."""
    (first, *_), (*_, last) = values, values
    if first == last:
        return f"{values[last]:.3g} in round {last}"
    return f"from {values[first]:.3g} in round {first} to {values[last]:.3g} in round {last}"


def line(points: Sequence[tuple[float, float]], label: str) -> str:
    """Draw a metric of an app's over its rounds; whatever the metric is called is escaped."""

    def draw(axes: Axes) -> None:
        _by_round(axes)
        marker = "o" if len(points) <= 15 else ""
        axes.plot(*zip(*points, strict=True), color=FEDERATED, lw=2, marker=marker, ms=3.5)
        last = points[-1][1]
        _label_ends(axes, [(last, f"{last:.4g}", FEDERATED)])

    said = f"{label} by round: {_course(dict(points))}"  # type: ignore[arg-type]
    return svg(said, (335, 215), (60, 40, 84, 8), draw)
