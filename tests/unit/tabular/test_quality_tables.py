"""The tables of docs/quality.md: made from the bench's figures, and complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.quality_tables import markdown
from bench.tables import END, put
from runtime.tabular.strategies.catalogue import STRATEGIES

QUALITY = Path(__file__).parents[3] / "docs" / "quality.md"
BEGIN = "<!-- made by bench/quality.py -->"
SPLITS = ("iid", "label", "feature", "size")


def tables() -> str:
    text = QUALITY.read_text(encoding="utf-8")
    return text.split(BEGIN)[1].split(END)[0]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_has_its_figures_on_every_split(strategy: str) -> None:
    rows = [line.split("|")[2].strip() for line in tables().splitlines() if line.count("|") == 12]
    assert rows.count(strategy) >= len(SPLITS)


def figures() -> dict[str, Any]:
    scores = {"roc_auc": 0.8, "pr_auc": 0.5, "log_loss": 0.2, "brier": 0.06}
    ends = {"low": 0.75, "high": 0.85}
    pooled = {**scores, "intervals": dict.fromkeys(scores, ends)}
    learnt = {
        "model": "logistic",
        "strategy": "fedavg",
        "clients": 3,
        **{"rounds": 30, "bytes": 83_000, "cpu_seconds": 4.21},
        **scores,
        "roc_auc_interval": ends,
    }
    noisy = scores | {"roc_auc": 0.7, "roc_auc_deviation": 0.01, "predicted / observed": 1.04}
    return {
        "data": "the stand-in",
        "machine": "a machine",
        "pooled": {"logistic": pooled},
        "learning": [
            learnt | {"split": "iid", "rounds_to_pooled": 4, "bytes_to_pooled": 11_111},
            learnt | {"split": "size", "rounds_to_pooled": None, "bytes_to_pooled": None},
        ],
        "cuts": [
            {"strategy": "histogram", "clients": 3, "split": how, "seed": 0, "roc_auc": 0.8}
            | {"rounds": 10, "bytes": 5_600_000, "cpu_seconds": 21.0}
            for how in SPLITS
        ],
        "pooled_trees": [{"seed": 0, "pooled": 0.81, "scikit-learn": 0.82, "xgboost": 0.83}],
        "privacy": [
            {"strategy": "fedavg", "split": "iid", "rounds": 10}
            | dict.fromkeys(("1", "3", "8", "off"), noisy)
        ],
        "liars": [{"strategy": "krum", "split": how, "honest": 0.8, "one liar": 0.7} for how in SPLITS],
        "proximal": [{"proximal_mu": 1.0, "distance": 0.25}],
    }


def test_figures_stand_where_a_reader_looks_for_them() -> None:
    made = markdown(figures()).splitlines()
    assert (
        "| logistic | fedavg | 3 | 0.800 (0.750 to 0.850) | 0.500 | 0.200 | 30 | 83 | 4.2 | 4 | 11 |" in made
    )
    assert (
        "| logistic | fedavg | 3 | 0.800 (0.750 to 0.850) | 0.500 | 0.200 | 30 | 83 | 4.2 | - | - |" in made
    )
    assert made[6].startswith("| logistic | 0.800 (0.750 to 0.850) | 0.500 (0.750 to 0.850) | 0.200")
    assert "| histogram | 3 | IID | 0.8000 | -0.0100 | 10 | 5.6 | 21 |" in made
    assert "| the same trees | 0.8100 | 0.8100 |" in made
    assert "| IID | fedavg | 10 | 3 | 0.700 ± 0.010 | 0.500 | 0.200 | 0.060 | 1.04 |" in made
    assert "| IID | fedavg | 10 | off | 0.700 | 0.500 | 0.200 | 0.060 | 1.04 |" in made
    assert "| krum | 0.800 → 0.700 | 0.800 → 0.700 | 0.800 → 0.700 | 0.800 → 0.700 |" in made
    assert "| 1 | 0.2500 |" in made


def test_only_the_tables_of_a_document_are_made_anew(tmp_path: Path) -> None:
    document = tmp_path / "quality.md"
    others = f"<!-- made by bench/other.py -->\nother\n{END}\n"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n{others}", encoding="utf-8")
    put("new", document, "bench/quality.py")
    assert document.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n{others}"
