"""What the report's figures say of each client's gain, for its page and for the console."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.server.report.charts import finite
from runtime.server.report.model_charts import all_gains
from runtime.tabular.report.claims import Claim, claim
from runtime.tabular.task_scores import SCORES

Gain = Mapping[str, Any]

SHOWN_AT_ONCE = 20
"""Beyond so many clients the page draws all gains in one picture, and names the best, median and worst."""


def gains(report: Mapping[str, Any]) -> list[Gain]:
    """Return every client's figures on its own hold-out, the largest gain in the task's first score first.

    Returns
    -------
    list of dict
        `name`, `rows`, `positives`; `score`, which score it is told in; `alone`, `federated` and `pooled`
        with it or None; `gain`, the federated one above the one alone, with its interval `low` to `high`
        and what that `claims`, or None; and `scores`, all scores by model. Clients without figures are left
        out; those whose gain is not defined come last.
    """
    lead = _lead(report)
    made = [_gain(one["name"], one["value"], lead) for one in report.get("clients") or () if one.get("value")]
    return sorted(made, key=lambda one: (one["gain"] is None, -(one["gain"] or 0.0)))


def sentence(made: Sequence[Gain]) -> str:
    """Say in one line how many clients gain more than chance explains; '' where nobody can say."""
    known = [one for one in made if one["gain"] is not None]
    if not known:
        return "no client has rows of both labels in its hold-out" if made else ""
    counts = {kind: sum(one["claims"] is kind for one in known) for kind in Claim}
    before, after = (statistics.fmean(one[model] for one in known) for model in ("alone", "federated"))
    mean = f"mean {title_of(known[0]['score'])} {before:.3f}\u00a0\u2192\u00a0{after:.3f}"
    return f"{_counted(len(known), counts)}, {mean}"


def summed_sentence(summed: Mapping[str, Any]) -> str:
    """Say the same of a sum that names no client."""
    clients, above, below = summed["clients"], summed["above"], summed["below"]
    counts = {
        Claim.BETTER: above,
        Claim.WORSE: below,
        Claim.CHANCE: clients - above - below,
        Claim.UNKNOWN: 0,
    }
    before, after = summed["local_only"], summed["federated"]
    mean = f"mean {title_of(summed['score'])} {before:.3f}\u00a0\u2192\u00a0{after:.3f}"
    return f"{_counted(clients, counts)}, {mean} (known as a sum only)"


def _counted(clients: int, counts: Mapping[Claim, int]) -> str:
    """Say how many gain or lose, and of how many nothing can be said."""
    better, worse, chance, unknown = (counts[kind] for kind in Claim)
    if unknown == clients:
        return "no client has rows enough for an interval of its gain"
    if chance == clients:
        who = "the one client" if clients == 1 else f"all {clients:,} clients"
        return f"the difference between federated and alone is within chance for {who}"
    said = [f"federated beats alone in {better:,} of {clients:,}"] if better else []
    said += [f"alone beats federated in {worse:,}" + ("" if better else f" of {clients:,}")] if worse else []
    said += [f"within chance in {chance:,}" + ("" if said else f" of {clients:,}")] if chance else []
    said += [f"too few rows for an interval in {unknown:,}"] if unknown else []
    return ", ".join(said)


def title_of(score: str) -> str:
    """Return what a score is called within a sentence."""
    title = next((task[score].title for task in SCORES.values() if score in task), score)
    return title if title[:2].isupper() or not title[1:2].islower() else title[0].lower() + title[1:]


def section(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page's section shows: the rows, their common scale, and who has no figures."""
    made, lead = gains(report), _lead(report)
    there = {one["name"] for one in made}
    known = [one for one in made if one["gain"] is not None]
    areas = [one[m] for one in known for m in ("alone", "federated", "pooled") if one[m] is not None]
    low, high, steps = _ends(areas)
    many = len(made) > SHOWN_AT_ONCE
    picked = [("Best", 0), ("Median", len(known) // 2), ("Worst", len(known) - 1)] if many and known else []
    title = next((task[lead].title for task in SCORES.values() if lead in task), lead)
    return {
        "rows": made,
        "known": known,
        "title": title,
        "others": [
            (name, one.title) for name, one in _task_of(lead).items() if name not in (lead, "accuracy")
        ],
        "said": sentence(made),
        "missing": report.get("value_missing") if not made else None,
        "summed": summed_sentence(report["value_summed"]) if report.get("value_summed") else None,
        "rehearsed": report.get("value_known_to") == "rehearsal",
        "silent": [one["name"] for one in report.get("clients") or () if one["name"] not in there],
        "picked": [(title, known[at]) for title, at in picked],
        "chart": all_gains([one["gain"] for one in known], title) if many and known else "",
        "held": statistics.median(one["rows"] or 0 for one in made) if made else 0,
        "pooled": any(one["pooled"] is not None for one in made),
        "positives": any(one["positives"] is not None for one in made),
        "low": low,
        "high": high,
        "steps": steps,
    }


def _lead(report: Mapping[str, Any]) -> str:
    return str(next((one["name"] for one in report.get("scores") or ()), "roc_auc"))


def _task_of(lead: str) -> Mapping[str, Any]:
    return next((scores for scores in SCORES.values() if lead in scores), {})


def _gain(name: str, value: Mapping[str, Any], lead: str) -> Gain:
    scores = {model: value.get(model) or {} for model in ("local_only", "federated", "pooled")}
    alone, federated, pooled = (finite(one.get(lead)) for one in scores.values())
    gain = None if alone is None or federated is None else federated - alone
    counts = {"rows": finite(value.get("rows")), "positives": finite(value.get("positives"))}
    areas = {"alone": alone, "federated": federated, "pooled": pooled}
    told = value.get("gain") or {}
    ends = {end: finite(told.get(end)) for end in ("low", "high")}
    claims = claim(told, lead) if gain is not None else Claim.UNKNOWN
    return {
        "name": name,
        **counts,
        **areas,
        "score": lead,
        "gain": gain,
        **ends,
        "claims": claims,
        "scores": scores,
    }


def _ends(areas: Sequence[float]) -> tuple[float, float, int]:
    """Return the ends of a scale with all areas on it, and into how many steps it is parted.

    Dots need no zero, they need room: the ends are twentieths, or tenths where the areas lie far apart.
    Scores far below zero (R² can be) are parted into ten steps between whole numbers.
    """
    least, most = min(areas, default=0.0), max(areas, default=1.0)
    if most - least > 2:
        return float(math.floor(least)), float(math.ceil(most)), 10
    parts = 20 if most - least <= 0.3 else 10
    low, high = math.floor(least * parts), math.ceil(most * parts)
    bottom = 0 if least >= 0 else low - 2
    while high - low < 2:
        low, high = max(bottom, low - 1), max(bottom + 2, high)
    return low / parts, high / parts, high - low
