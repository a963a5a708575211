"""Charts of a model and of what clients gain, in the style of those of a run's rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from runtime.server.report.charts import FEDERATED, LOSS, MUTED, POOLED, finite, svg

_MOST_POINTS: Final = 300
_AXES: Final = {
    "fpr": "false alarms (1 - specificity)",
    "tpr": "positives caught (recall)",
    "recall": "positives caught (recall)",
    "precision": "true among the alarms (precision)",
}


def curve(curves: Mapping[str, Any], kind: str, label: str, areas: Mapping[str, Any], chance: Any) -> str:
    """Draw the ROC ("roc") or precision-recall ("pr") curves; chance is the precision of guessing."""
    across, up = ("fpr", "tpr") if kind == "roc" else ("recall", "precision")
    lines = {w: c for w in ("federated", "pooled") if (c := (curves.get(w) or {}).get(kind) or {}).get(up)}
    if not lines:
        return ""

    def draw(axes: Axes) -> None:
        if kind == "roc" or finite(chance) is not None:
            guess = [0, 1] if kind == "roc" else [chance, chance]
            axes.plot([0, 1], guess, color=MUTED, lw=1.2, ls=(0, (1, 2.5)), label="guessing")
        for who, line in lines.items():
            keep = np.unique(np.linspace(0, len(line[up]) - 1, _MOST_POINTS).astype(int))
            colour, style = (FEDERATED, "-") if who == "federated" else (POOLED, (0, (4, 2)))
            text = who if (area := finite(areas.get(who))) is None else f"{who}, area {area:.3f}"
            points = (np.asarray(line[axis], dtype=float)[keep] for axis in (across, up))
            axes.plot(*points, color=colour, ls=style, lw=2 if style == "-" else 1.5, label=text)
        axes.set(xlabel=_AXES[across], ylabel=_AXES[up], xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        axes.legend(
            loc="lower right" if kind == "roc" else "upper right",
            frameon=False,
            fontsize=11,
            handlelength=1.8,
        )

    known = [f"{who}, area {a:.3f}" if (a := finite(areas.get(who))) is not None else who for who in lines]
    return svg(
        f"{label}: {_AXES[up]} against {_AXES[across]}; {'; '.join(known)}", (400, 320), (48, 40, 10, 8), draw
    )


def calibration(groups: Mapping[str, Any], label: str) -> str:
    """Draw what models say against what comes true, both from 0 to 1; '' without a group of rows.

    Parameters
    ----------
    groups
        Of `federated` and `pooled`: rows in groups by probability, each with `said`, `true` and `interval`.
    """
    lines = {who: kept for who in ("federated", "pooled") if (kept := _usable(groups.get(who) or ()))}
    if not lines:
        return ""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1.2, ls=(0, (1, 2.5)), label="as often as said")
        for who, kept in lines.items():
            ours = who == "federated"
            colour, said, true = (
                FEDERATED if ours else POOLED,
                [g["said"] for g in kept],
                [g["true"] for g in kept],
            )
            if ours:
                for group in kept:
                    low, high = (finite((group.get("interval") or {}).get(end)) for end in ("low", "high"))
                    if low is not None and high is not None:
                        axes.plot([group["said"]] * 2, [low, high], color=colour, lw=1.2, alpha=0.6)
            style = "-" if ours else (0, (4, 2))
            axes.plot(said, true, color=colour, ls=style, lw=1.5, marker="o", ms=4 if ours else 3, label=who)
        axes.set(
            xlabel="probability said", ylabel="share that came true", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02)
        )
        axes.legend(loc="lower right", frameon=False, fontsize=11, handlelength=1.8)

    said = [f"{who}, {_farthest(kept)}" for who, kept in lines.items()]
    return svg(
        f"{label}: share that came true against probability said; {'; '.join(said)}",
        (400, 320),
        (48, 40, 10, 8),
        draw,
    )


def _usable(groups: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [g for g in groups if finite(g.get("said")) is not None and finite(g.get("true")) is not None]


def _farthest(groups: Sequence[Mapping[str, Any]]) -> str:
    """Say where a model is furthest off, for who does not see the chart."""
    worst = max(groups, key=lambda group: abs(group["said"] - group["true"]))
    return f"furthest off at {worst['said']:.2f}, where {worst['true']:.2f} came true"


def all_gains(gains: Sequence[float], score: str = "ROC-AUC") -> str:
    """Draw what every client gains in a score, the largest gain first, as one outline from left to right."""

    def draw(axes: Axes) -> None:
        edges = np.arange(len(gains) + 1) / len(gains) * 100
        steps = np.append(gains, gains[-1])
        for part, colour in ((np.maximum(steps, 0), FEDERATED), (np.minimum(steps, 0), LOSS)):
            axes.fill_between(edges, part, step="post", color=colour, lw=0)
        axes.axhline(0, color=MUTED, lw=1)
        axes.axvline(50, color=MUTED, lw=1, ls=(0, (1, 2.5)))
        axes.set(xlim=(0, 100), ylabel=f"gain in {score}", xlabel=f"% of {len(gains):,} clients")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.06)

    higher = sum(gain > 0 for gain in gains)
    said = f"Gain in {score} of {len(gains):,} clients: {higher:,} above zero, {max(gains):+.3f} at most"
    return svg(f"{said}, {min(gains):+.3f} at least", (860, 210), (70, 40, 14, 8), draw)
