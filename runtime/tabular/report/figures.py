"""The page's figures with what stands beside each: its interval, what guessing and pooling would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from runtime.server.report.charts import finite
from runtime.tabular.report.claims import LOWER, Claim, claim, said, signed
from runtime.tabular.task_scores import LOSSES

BRIER: Final = ("brier", "Brier score")
_Report = Mapping[str, Any]
Titles = Sequence[tuple[str, str]]


def with_brier(report: _Report, scores: Titles) -> list[tuple[str, str]]:
    """Return the scores of a final model: those of each round, and the Brier score where there is one."""
    there = finite((report.get("final") or {}).get("brier")) is not None
    return [*scores, BRIER] if there else [*scores]


def span(interval: Mapping[str, Any] | None, digits: int = 3) -> str:
    """Say an interval; '' where there is none."""
    low, high = (finite((interval or {}).get(end)) for end in ("low", "high"))
    if low is None or high is None:
        return ""
    return f"{low:,.{digits}f}\u00a0to\u00a0{high:,.{digits}f}".replace("-", "\u2212")


def facts(report: _Report, scores: Titles) -> list[dict[str, Any]]:
    """Return each score of the final model with its notes."""
    final, pooled = report.get("final") or {}, report.get("pooled") or {}
    intervals = report.get("intervals") or {}
    return [
        {
            "title": title,
            "value": finite(final.get(name)),
            "notes": [
                *([f"95\u00a0%: {ends}"] if (ends := span(intervals.get(name))) else []),
                *([f"pooled: {other:,.3f}"] if (other := finite(pooled.get(name))) is not None else []),
                *_guessing(report, name),
            ],
        }
        for name, title in scores
    ]


def _guessing(report: _Report, score: str) -> list[str]:
    """Say what a score is worth that says nothing of the row."""
    positives, samples = finite(report.get("test_positives")), finite(report.get("test_samples"))
    if score in ("roc_auc", "macro_auc", "concordance"):
        return ["0.5 is guessing"]
    if positives and samples and score in ("pr_auc", "brier"):
        rate = positives / samples
        return [f"guessing: {rate if score == 'pr_auc' else rate * (1 - rate):.3f}"]
    if (
        score == "accuracy"
        and finite(threshold := (report.get("confusion") or {}).get("threshold")) is not None
    ):
        return [f"at threshold {threshold}"]
    return ["lower is better"] if score in LOWER else []


def differences(report: _Report, scores: Titles) -> list[tuple[str, str]]:
    """Return the scores that models were compared by on the same resamples: the first one, and the loss."""
    compared = (report.get("compared") or {}).get("pooled") or {}
    return [(name, title) for name, title in scores if name in compared]


def against(report: _Report, who: str | None, titles: Titles) -> list[dict[str, Any]]:
    """Return by how much federated differs from pooling (None), or from a client alone, in each score."""
    compared = report.get("compared") or {}
    found = (compared.get("local_only") or {}).get(who) if who is not None else compared.get("pooled")
    cells = []
    for name, _ in titles:
        one = (found or {}).get(name) or {}
        apart, judged = finite(one.get("difference")), claim(one, name)
        colour = {Claim.BETTER: "gain", Claim.WORSE: "loss"}.get(judged, "none")
        ends = [finite(one.get(end)) for end in ("low", "high")]
        shown = "" if None in ends else f"{signed(one['low'])}\u00a0to\u00a0{signed(one['high'])}"
        cells.append({"value": "\u2013" if apart is None else signed(apart), "span": shown, "colour": colour})
    return cells


def sentence(report: _Report, alone: Sequence[tuple[str, _Report]], scores: Titles) -> str:
    """Say what federating was worth on the server's test set; '' where nothing was compared."""
    compared, (name, title) = report.get("compared") or {}, scores[0]
    whole, single = (compared.get("pooled") or {}).get(name), compared.get("local_only") or {}
    if not whole:
        return ""
    text = f"In {title} the federated model differs from pooling by {said(whole, name)}"
    best = next((client for client, _ in alone if client in single), None)
    if best is None:
        return f"{text}."
    found = [claim(one.get(name), name) for one in single.values()]
    counted = [f"{found.count(kind):,} {kind.value}" for kind in Claim if found.count(kind)]
    each = f"against {len(found):,} clients alone it is {_listed(counted)}" if len(found) > 1 else ""
    text += f"; from the best client alone, {best}, by {said(single[best][name], name)}"
    return f"{text}{'; ' if each else ''}{each}."


def _listed(counted: Sequence[str]) -> str:
    words = {"better": "than {}", "worse": "than {}"}
    parts = []
    for one in counted:
        number, _, kind = one.partition(" ")
        parts.append(f"{kind} {words[kind].format(number)}" if kind in words else f"{kind} for {number}")
    return ", ".join(parts)


def whose(report: _Report, rows_called: str, clients: int) -> str:
    """Say whose data a report is of: the schema's name, how many rows, and of how many clients."""
    named, rows = report.get("schema"), finite(report.get("training_samples"))
    name = named if named and named != report.get("name") else ""
    counted = f"{rows:,.0f} {rows_called} of " if rows else ""
    who = f"{counted}{clients:,} client{'s' * (clients != 1)}" if clients else ""
    return ", ".join(part for part in (name, who) if part)


def losses_first(scores: Titles) -> list[tuple[str, str]]:
    """Return scores with the loss that training minimises in front."""
    return sorted(scores, key=lambda one: one[0] not in LOSSES)
