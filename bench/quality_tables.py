"""The figures of bench/quality.py as the Markdown of docs/quality.md."""

from __future__ import annotations

import statistics
from typing import Any, Final

from bench.tables import table

CLOSE: Final = 0.999
"""What part of the pooled model's ROC-AUC counts as having reached it."""

TITLES: Final = {
    "iid": "IID",
    "label": "Label skew",
    "feature": "Feature skew",
    "size": "Size skew",
}
Figures = dict[str, Any]


def markdown(figures: Figures) -> str:
    """Return all tables."""
    by_split = {how: [row for row in figures["learning"] if row["split"] == how] for how in TITLES}
    parts = [f"Data: {figures['data']}. {figures['machine']}.", *_pooled(figures)]
    for how, rows in by_split.items():
        parts += [f"### {TITLES[how]}", _learning(rows)]
    parts += ["### Trees on several cuts", trees(figures)]
    if figures.get("tasks"):
        parts += ["### Every task against its pooled reference", tasks(figures["tasks"])]
    parts += ["### With differential privacy", privacy(figures["privacy"])]
    parts += ["### With one liar of seven", _liars(figures["liars"])]
    parts += ["### FedProx's proximal term", _proximal(figures["proximal"])]
    return "\n\n".join(parts)


def _pooled(figures: Figures) -> list[str]:
    titles = {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "log_loss": "log loss", "brier": "Brier score"}
    rows = [
        [model, *(f"{scores[name]:.3f}{span(scores['intervals'][name])}" for name in titles)]
        for model, scores in figures["pooled"].items()
    ]
    head = ["model", *(f"{title} (95 %)" for title in titles.values())]
    return ["### All rows in one place", table(head, rows)]


def span(interval: Figures) -> str:
    """Return an interval as it stands behind its figure."""
    return f" ({interval['low']:.3f} to {interval['high']:.3f})"


def _learning(rows: list[Figures]) -> str:
    head = [
        "model",
        "strategy",
        "clients",
        "ROC-AUC (95 %)",
        "PR-AUC",
        "log loss",
        "rounds",
        "kB",
        "CPU s",
        "rounds to 99.9 %",
        "kB to 99.9 %",
    ]
    return table(
        head,
        [
            [
                row["model"],
                row["strategy"],
                str(row["clients"]),
                f"{row['roc_auc']:.3f}{span(row['roc_auc_interval'])}",
                *(f"{row[name]:.3f}" for name in ("pr_auc", "log_loss")),
                *(str(row["rounds"]), f"{row['bytes'] / 1000:,.0f}", f"{row['cpu_seconds']:.1f}"),
                "-" if row["rounds_to_pooled"] is None else str(row["rounds_to_pooled"]),
                "-" if row["bytes_to_pooled"] is None else f"{row['bytes_to_pooled'] / 1000:,.0f}",
            ]
            for row in rows
        ],
    )


def trees(figures: Figures) -> str:
    """Return how trees do on each cut, pooled and federated."""
    return "\n\n".join([_whole(figures["pooled_trees"]), _cuts(figures)])


def _whole(rows: list[Figures]) -> str:
    names = {"pooled": "the same trees", "scikit-learn": "scikit-learn's own", "xgboost": "xgboost's own"}
    cells = [
        [
            title,
            f"{statistics.mean(row[name] for row in rows):.4f}",
            ", ".join(f"{row[name]:.4f}" for row in rows),
        ]
        for name, title in names.items()
    ]
    return table(["all rows in one place", "ROC-AUC, mean", "each cut"], cells)


def _cuts(figures: Figures) -> str:
    """Return each strategy's gaps to the same trees on pooled rows, with what it cost."""
    whole = {row["seed"]: row["pooled"] for row in figures["pooled_trees"]}
    groups: dict[tuple[str, int, str], list[Figures]] = {}
    for row in figures["cuts"]:
        groups.setdefault((row["strategy"], row["clients"], row["split"]), []).append(row)
    cells = []
    for (strategy, clients, how), found in groups.items():
        gaps = [row["roc_auc"] - whole[row["seed"]] for row in found]
        means = {
            name: statistics.mean(row[name] for row in found) for name in ("roc_auc", "bytes", "cpu_seconds")
        }
        cost = [
            str(max(row["rounds"] for row in found)),
            f"{means['bytes'] / 1e6:.1f}",
            f"{means['cpu_seconds']:.0f}",
        ]
        told = ", ".join(f"{gap:+.4f}" for gap in gaps)
        cells.append([strategy, str(clients), TITLES[how], f"{means['roc_auc']:.4f}", told, *cost])
    costs = ["rounds", "MB a client", "CPU seconds of all"]
    return table(["strategy", "clients", "split", "ROC-AUC, mean", "less pooled, each cut", *costs], cells)


def privacy(rows: list[Figures]) -> str:
    """Return what noise costs: means over runs, of ROC-AUC with their standard deviation."""
    cells = []
    for row in rows:
        for limit in (name for name in ("1", "3", "8", "off") if name in row):
            found = row[limit]
            spread = f" ± {found['roc_auc_deviation']:.3f}" if limit != "off" else ""
            scores = (f"{found[name]:.3f}" for name in ("pr_auc", "log_loss", "brier"))
            named = [TITLES[row["split"]], row["strategy"], str(row["rounds"]), limit]
            ratio = f"{found['predicted / observed']:.2f}"
            cells.append([*named, f"{found['roc_auc']:.3f}{spread}", *scores, ratio])
    head = ["split", "strategy", "rounds", "epsilon", "ROC-AUC", "PR-AUC", "log loss", "Brier score"]
    return table([*head, "predicted / observed"], cells)


def tasks(rows: list[Figures]) -> str:
    """Return how far coefficients are from pooling's, relative to the largest, and from those on one silo."""
    first = {row["table"]: row["coefficients"] for row in rows if row["silos"] == 1}
    cells = []
    for row in rows:
        alone: list[float] = first.get(row["table"]) or row["coefficients"]
        size = max(1.0, *map(abs, alone))
        apart = max(abs(one - other) for one, other in zip(row["coefficients"], alone, strict=True)) / size
        named = [row["table"], row["task"], str(row["silos"]), row["updates"], row["score"]]
        costs = [str(row["rounds"]), f"{row['bytes'] / 1000:,.0f}", f"{row['cpu_seconds']:.1f}"]
        cells.append([*named, f"{row['away']:.0e}", f"{apart:.0e}", *costs])
    head = ["table", "task", "silos", "updates", "test set", "from pooling", "from one silo"]
    return table([*head, "rounds", "kB each", "CPU s"], cells)


def _liars(rows: list[Figures]) -> str:
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    found = {(row["strategy"], row["split"]): row for row in rows}
    cells = [
        [
            name,
            *(" → ".join(_score(found[name, how][who]) for who in ("honest", "one liar")) for how in TITLES),
        ]
        for name in strategies
    ]
    return table(["strategy", *TITLES.values()], cells)


def _score(auc: float | None) -> str:
    return "FAILED" if auc is None else f"{auc:.3f}"


def _proximal(rows: list[Figures]) -> str:
    cells = [[f"{row['proximal_mu']:g}", f"{row['distance']:.4f}"] for row in rows]
    return table(["proximal_mu", "length of the coefficients after one round"], cells)
