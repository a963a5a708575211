"""What the report's figures say of each client's gain, for its page and for the console."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.server.report.charts import all_gains, finite

Gain = Mapping[str, Any]

SHOWN_AT_ONCE = 20
"""Beyond so many clients the page draws all gains in one picture, and names the best, median and worst."""


def gains(report: Mapping[str, Any]) -> list[Gain]:
    """Return every client's figures on its own hold-out, the largest gain in ROC-AUC first.

    Returns
    -------
    list of dict
        `name`, `rows`, `positives`; `alone`, `federated` and `pooled` with the ROC-AUC of each or None;
        `gain`, the federated one above the one alone, or None; and `scores`, all scores by model. Clients
        without figures are left out; those whose hold-out has one label only come last.
    """
    made = [_gain(one["name"], one["value"]) for one in report.get("clients") or () if one.get("value")]
    return sorted(made, key=lambda one: (one["gain"] is None, -(one["gain"] or 0.0)))


def sentence(made: Sequence[Gain]) -> str:
    """Say in one line how many clients gain, and by how much on average; '' where nobody can say."""
    known = [one for one in made if one["gain"] is not None]
    if not known:
        return "no client has rows of both labels in its hold-out" if made else ""
    better = sum(one["gain"] > 0 for one in known)
    even = sum(one["gain"] == 0 for one in known)
    before, after = (statistics.fmean(one[model] for one in known) for model in ("alone", "federated"))
    tied = f" and equals it in {even:,}" if even else ""
    mean = f"mean ROC-AUC {before:.3f}\u00a0\u2192\u00a0{after:.3f}"
    return f"federated beats alone in {better:,} of {len(known):,}{tied}, {mean}"


def summed_sentence(summed: Mapping[str, float]) -> str:
    """Say the same of a sum that names no client."""
    before, after = summed["local_only"], summed["federated"]
    mean = f"mean ROC-AUC {before:.3f}\u00a0\u2192\u00a0{after:.3f}"
    how_many = f"{summed['better']:,} of {summed['clients']:,}"
    return f"federated beats alone in {how_many}, {mean} (known as a sum only)"


def section(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page's section shows: the rows, their common scale, and who has no figures."""
    made = gains(report)
    there = {one["name"] for one in made}
    known = [one for one in made if one["gain"] is not None]
    areas = [one[m] for one in known for m in ("alone", "federated", "pooled") if one[m] is not None]
    low, high, steps = _ends(areas)
    many = len(made) > SHOWN_AT_ONCE
    picked = [("Best", 0), ("Median", len(known) // 2), ("Worst", len(known) - 1)] if many and known else []
    return {
        "rows": made,
        "known": known,
        "said": sentence(made),
        "missing": report.get("value_missing") if not made else None,
        "summed": summed_sentence(report["value_summed"]) if report.get("value_summed") else None,
        "rehearsed": report.get("value_known_to") == "rehearsal",
        "silent": [one["name"] for one in report.get("clients") or () if one["name"] not in there],
        "picked": [(title, known[at]) for title, at in picked],
        "chart": all_gains([one["gain"] for one in known]) if many and known else "",
        "held": statistics.median(one["rows"] or 0 for one in made) if made else 0,
        "pooled": any(one["pooled"] is not None for one in made),
        "low": low,
        "high": high,
        "steps": steps,
    }


def _gain(name: str, value: Mapping[str, Any]) -> Gain:
    scores = {model: value.get(model) or {} for model in ("local_only", "federated", "pooled")}
    alone, federated, pooled = (finite(one.get("roc_auc")) for one in scores.values())
    gain = None if alone is None or federated is None else federated - alone
    counts = {"rows": finite(value.get("rows")), "positives": finite(value.get("positives"))}
    areas = {"alone": alone, "federated": federated, "pooled": pooled}
    return {"name": name, **counts, **areas, "gain": gain, "scores": scores}


def _ends(areas: Sequence[float]) -> tuple[float, float, int]:
    """Return the ends of a scale with all areas on it, and into how many steps it is parted.

    Dots need no zero, they need room: the ends are twentieths, or tenths where the areas lie far apart.
    """
    least, most = min(areas, default=0.0), max(areas, default=1.0)
    parts = 20 if most - least <= 0.3 else 10
    low, high = math.floor(least * parts), math.ceil(most * parts)
    while high - low < 2:
        low, high = max(0, low - 1), max(2, high)
    return low / parts, high / parts, high - low
