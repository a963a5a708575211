"""Reports of runs that never were, and a reader of the page made of them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

METRICS = ("roc_auc", "pr_auc", "log_loss", "accuracy")
VOID = {"meta", "use", "br", "link", "img"}


def metrics(progress: float) -> dict[str, float]:
    """Return metrics between those of a first guess (0) and of the pooled model (1)."""
    first, last = np.array([0.50, 0.09, 0.69, 0.50]), np.array([0.872, 0.524, 0.241, 0.917])
    return dict(zip(METRICS, (first + (last - first) * progress).tolist(), strict=True))


def curves(seed: int, noise: float) -> dict[str, Any]:
    """Return the ROC and PR curves of 1100 invented scores, 9 % of them frauds."""
    rng = np.random.default_rng(seed)
    truth = np.arange(1100) < 99
    score = truth * 1.6 + rng.normal(size=1100) * noise
    fpr, tpr, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    return {
        "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist()},
        "pr": {"recall": recall.tolist(), "precision": precision.tolist()},
    }


def part(precision: float, recall: float, support: int) -> dict[str, float]:
    """Return one class of a classification report."""
    f1 = 2 * precision * recall / (precision + recall)
    return {"precision": precision, "recall": recall, "f1-score": f1, "support": support}


def contribution(rng: np.random.Generator, samples: int, progress: float) -> dict[str, Any]:
    """Return what one client did in one round."""
    return {
        "samples": samples,
        "train_seconds": float(samples / 9000 * rng.lognormal(0, 0.15)),
        "bytes_up": 4312,
        "bytes_down": 3920,
        "status": "ok",
        "validation": metrics(progress * float(rng.uniform(0.95, 1.02))),
    }


def value(rng: np.random.Generator, samples: int) -> dict[str, Any]:
    """Return what one client gains: a tenth of its rows, of which none may be positive, is held out."""
    rows, alone = max(2, samples // 10), float(rng.uniform(0.4, 0.93))
    scored = {"local_only": alone, "federated": min(1.0, alone + float(rng.normal(0.1, 0.1))), "pooled": 1.0}
    made: dict[str, dict[str, float | None]] = {model: {**metrics(part)} for model, part in scored.items()}
    if rows < 12:
        made = {model: scores | {"roc_auc": None, "pr_auc": None} for model, scores in made.items()}
    apart = scored["federated"] - alone if rows >= 12 else None
    ends = {"low": apart and apart - 0.05, "high": apart and apart + 0.05}
    gain = {"score": "roc_auc", "difference": apart, **ends}
    return {"rows": rows, "positives": rows // 11, **made, "gain": gain}


def around(value: float) -> dict[str, float]:
    """Return an interval about a figure."""
    return {"low": value - 0.03, "high": value + 0.03}


def groups(off: float) -> list[dict[str, Any]]:
    """Return ten groups of a calibration curve that is off by so much."""
    return [
        {"rows": 110, "said": p, "true": p + off, "interval": around(p + off)}
        for p in np.linspace(0.01, 0.9, 10)
    ]


def compared(apart: float, width: float) -> dict[str, Any]:
    """Return a difference in ROC-AUC, and the opposite one in log loss."""
    ends = {"low": apart - width, "high": apart + width}
    loss = {"difference": -apart, "low": -ends["high"], "high": -ends["low"]}
    return {"roc_auc": {"difference": apart, **ends}, "log_loss": loss}


def complete(n_clients: int = 3, n_rounds: int = 8) -> dict[str, Any]:
    """Return the report of a rehearsal in which everything went well."""
    rng = np.random.default_rng(7)
    names = ["hospital-north", "insurer-east", "clinic-south", *(f"clinic-{n:02}" for n in range(4, 1001))]
    size = {name: int(rng.lognormal(6.8, 0.7)) for name in names[:n_clients]}
    progress = [1 - 0.9 * 0.55**n for n in range(n_rounds + 1)]
    rounds = [
        {
            "round": n,
            "seconds": 0.0 if n == 0 else 0.31 + float(rng.uniform(0, 0.08)),
            "test": metrics(progress[n] * 0.995),
            "clients": {c: contribution(rng, s, progress[n]) for c, s in size.items()} if n else {},
        }
        for n in range(n_rounds + 1)
    ]
    table = {"legitimate": part(0.974, 0.847, 1001), "fraud": part(0.322, 0.768, 99)}
    return {
        "run_id": "run-20261122-a7f3",
        "name": "medicare-fraud",
        "started": "2026-11-22T17:24:05Z",
        "verdict": "COMPLETE",
        "reason": None,
        "engine": "link",
        "strategy": "fedavg",
        "best_round": n_rounds - 1,
        "rounds_planned": n_rounds,
        "stopped_early": False,
        "rows_called": "providers",
        "classes": ["legitimate", "fraud"],
        "test_samples": 1100,
        "test_positives": 99,
        "clients": [
            {"name": c, "samples": s, "status": "joined", "value": value(rng, s)} for c, s in size.items()
        ],
        "value_missing": None,
        "rounds": rounds,
        "schema": "cms",
        "training_samples": sum(size.values()),
        "final": metrics(0.99) | {"brier": 0.066},
        "intervals": {name: around(value) for name, value in (metrics(0.99) | {"brier": 0.066}).items()},
        "interval_level": 0.95,
        "calibration": {"federated": groups(0.03), "pooled": groups(0.0)},
        "precision_at": [
            {"share": s, "k": int(1100 * s), "precision": 0.8, "lift": 8.9, "interval": around(0.8)}
            for s in (0.01, 0.05, 0.1)
        ],
        "operating_point": {
            "for": "recall=0.8",
            "threshold": 0.1234,
            "chosen_on": 550,
            "judged": {
                **{"tn": 421, "fp": 80, "fn": 9, "tp": 40, "recall": 0.816, "precision": 0.333},
                **{"recall_interval": around(0.816), "precision_interval": around(0.333)},
            },
        },
        "compared": {
            "resamples": 1000,
            "pooled": compared(-0.001, 0.004),
            "local_only": {c: compared(0.1, 0.05) for c in size},
        },
        "pooled": metrics(1.0) | {"brier": 0.065},
        "local_only": {c: metrics(float(rng.uniform(0.35, 0.93))) for c in size},
        "curves": {"federated": curves(1, 1.0), "pooled": curves(1, 0.97)},
        "confusion": {"threshold": 0.5, "tn": 848, "fp": 153, "fn": 23, "tp": 76},
        "classification_report": table | {"accuracy": 0.84, "weighted avg": part(0.915, 0.84, 1100)},
        "seconds": {"setup": 0.8, "deploy": None, "join": 1.9, "rounds": 2.9, "evaluate": 0.4},
        "versions": {"fedstack": "0.1.0", "flwr": "1.41.0", "scikit-learn": "1.9.0", "python": "3.11.7"},
        "files": {"model": "model.joblib", "report as data": "report.json", "ledger": "ledger.jsonl"},
    }


def failed() -> dict[str, Any]:
    """Return the report of a run that ended before its first round."""
    return {
        "run_id": "run-20261122-b001",
        "verdict": "FAILED",
        "reason": "clinic-south never joined within the join deadline of 300 s (exit code 20).",
        "clients": [
            {"name": "hospital-north", "samples": 912, "status": "joined"},
            {"name": "clinic-south", "samples": None, "status": "never joined"},
        ],
        "rounds": [],
    }


class Page(HTMLParser):
    """The page's tags, text and attributes; fails where a tag is closed that is not open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.sections: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.stack += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] == ["h2"]:
            self.sections.append(data)
        if self.stack[-1:] != ["style"]:
            self.text += data
