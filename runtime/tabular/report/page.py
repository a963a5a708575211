"""The HTML page of one run: a pure function of its report, in one file that needs nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from runtime.server.report import page
from runtime.server.report.charts import finite, per_round
from runtime.server.report.model_charts import calibration, curve
from runtime.tabular.columns.columns import Task
from runtime.tabular.report import figures, gains
from runtime.tabular.report.claims import signed
from runtime.tabular.task_scores import SCORES

_PER_ROUND: Final = (
    ("log_loss", "Log loss, which training minimises"),
    ("roc_auc", "ROC-AUC"),
    ("pr_auc", "PR-AUC"),
)
"""What is drawn by round; the first is what the best round is chosen by."""

BINARY: Final = [(name, score.title) for name, score in SCORES[Task.BINARY].items()]
_Report = Mapping[str, Any]


def render(report: Mapping[str, Any]) -> str:
    """Return the page as HTML: no script, nothing loaded from elsewhere, equal for equal reports.

    Parameters
    ----------
    report
        What `report.json` holds (see the design); every part but the verdict may be absent or None.

    Returns
    -------
    str
        A whole HTML document. Whatever text the report holds is escaped.
    """
    report = page.clean(report)
    rounds = [r for r in report.get("rounds") or () if r.get("round", 0) > 0]
    clients = _clients(report, rounds)
    scores = [(one["name"], one["title"]) for one in report.get("scores") or ()] or BINARY
    full, alone = figures.with_brier(report, scores), _alone(report)
    compared = figures.differences(report, scores)
    return page.template("report.html.j2", Path(__file__).parent).render(
        report=report,
        rounds=rounds,
        clients=clients,
        charts=_charts(report),
        scores=scores,
        binary=scores[0][0] == "roc_auc",
        summary=_summary(report, rounds, clients),
        alone=alone,
        full=full,
        facts=figures.facts(report, full) if report.get("final") else [],
        compared=compared,
        against={who: figures.against(report, who, compared) for who in (None, *(name for name, _ in alone))},
        worth=figures.sentence(report, alone, scores),
        whose=figures.whose(report, _rows(report), len(clients)),
        span=figures.span,
        signed=signed,
        gained=gains.section(report),
        visible=page.visible(report),
        words={"rows": _rows(report), "classes": report.get("classes") or ("negative", "positive")},
    )


def _rows(report: Mapping[str, Any]) -> str:
    return str(report.get("rows_called") or "rows")


def _summary(report: _Report, rounds: Sequence[_Report], clients: Sequence[_Report]) -> str:
    """Say in one sentence what came out of the run."""
    of, done, planned = len(clients), len(rounds), finite(report.get("rounds_planned"))
    took_part = sum(client["rounds"] > 0 for client in clients)
    if not took_part:
        what = f"No client contributed to any of {done} rounds" if done else "No round finished"
        return f"{what}, so there is no federated model."
    who = f"{of} client{'s' * (of > 1)}" if took_part == of else f"{took_part} of {of} clients"
    every = f"{done} round{'s' * (done > 1)}"
    span = f"{done} of {planned:.0f} rounds" if planned and planned > done else every
    early = (
        f", stopping early: {report.get('stopped') or 'it had converged'}"
        if report.get("stopped_early")
        else ""
    )
    text = f"{who} trained one model over {span}{early}"
    name, title = next(((one["name"], one["title"]) for one in report.get("scores") or ()), BINARY[0])
    score, pooled = (finite((report.get(model) or {}).get(name)) for model in ("final", "pooled"))
    if score is not None:
        size = finite(report.get("test_samples"))
        ends = figures.span((report.get("intervals") or {}).get(name))
        sure, counted = f" (95\u00a0%: {ends})" if ends else "", f"{size:,.0f} " if size else ""
        text += f"; {title} {score:.3f}{sure} on {counted}{_rows(report)} that no client holds"
        text += (
            f", {100 * score / pooled:.1f}\u00a0% of what pooling the data gives"
            if pooled and pooled > 0
            else ""
        )
    return text + "."


def _clients(report: _Report, rounds: Sequence[_Report]) -> list[dict[str, Any]]:
    """Return what each client of the roster, or of any round, did in the whole run."""
    lead = next((one["name"] for one in report.get("scores") or ()), "roc_auc")
    roster = {c["name"]: c for c in report.get("clients") or ()}
    roster |= {n: {"name": n} for r in rounds for n in r.get("clients") or {} if n not in roster}
    rows = []
    for name, entry in roster.items():
        parts = [(r.get("clients") or {}).get(name) for r in rounds]
        ok = [p for p in parts if p is not None and p.get("status") in (None, "ok")]
        times = [finite(p.get("train_seconds")) if p else None for p in parts]
        known = [t for t in times if t is not None]
        sent = {
            way: sum(finite((p or {}).get(way)) or 0 for p in parts) for way in ("bytes_up", "bytes_down")
        }
        samples = entry.get("samples") or next((p["samples"] for p in ok if p.get("samples")), None)
        score = [v for p in ok if (v := finite((p.get("validation") or {}).get(lead))) is not None]
        row = {"name": name, "samples": finite(samples), "status": entry.get("status"), "times": times}
        row |= {"rounds": len(ok), "score": score[-1] if score else None, "total": sum(known), **sent}
        rows.append(
            row | {"median": statistics.median(known) if known else None, "most": max(known, default=0)}
        )
    return rows


def _alone(report: _Report) -> list[tuple[str, _Report]]:
    """Return each client's model of its own, best first."""
    models = [(name, scores or {}) for name, scores in (report.get("local_only") or {}).items()]
    first = next((one["name"] for one in report.get("scores") or ()), "roc_auc")
    return sorted(models, key=lambda model: -(finite(model[1].get(first)) or 0))


def _charts(report: _Report) -> dict[str, list[tuple[str, str]]]:
    """Return the panels (title, SVG) of each section that has any."""
    pooled, final = report.get("pooled") or {}, report.get("final") or {}
    rounds, best = report.get("rounds") or (), report.get("best_round")
    names = [one["name"] for one in report.get("scores") or ()]
    shown = [*_PER_ROUND] if not names or names[0] == "roc_auc" else []
    shown = shown or figures.losses_first([(one["name"], one["title"]) for one in report["scores"]])
    lines = [(n, per_round(rounds, m, n, pooled.get(m), best)) for m, n in shown]
    positives, samples = finite(report.get("test_positives")), finite(report.get("test_samples"))
    chance = positives / samples if positives and samples else None
    curves = []
    for kind, name in (("roc", "ROC curve"), ("pr", "Precision-recall curve")):
        areas = {"federated": final.get(f"{kind}_auc"), "pooled": pooled.get(f"{kind}_auc")}
        curves.append((name, curve(report.get("curves") or {}, kind, name, areas, chance)))
    said = [
        ("What was said, and what came true", calibration(report.get("calibration") or {}, "Calibration"))
    ]
    drawn = {"rounds": lines, "curves": curves, "calibration": said}
    return {section: [panel for panel in panels if panel[1]] for section, panels in drawn.items()}
