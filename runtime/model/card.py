"""A model's card, in the schema of SageMaker's model package cards, and its metrics as SageMaker has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from runtime.model.vouched import Vouched

_LONGEST_VALUE = 255

_PREDICTS: Final = {
    "roc_auc": ("the probability of the second label", "binary_classification_metrics"),
    "macro_auc": ("the probability of each label", "multiclass_classification_metrics"),
    "r2": ("the number that is expected", "regression_metrics"),
    "d2": ("the rate that is expected", "regression_metrics"),
    "concordance": ("the hazard, relative to other rows", "regression_metrics"),
}
"""By the score that only one task has: what the model says of a row, and Model Monitor's section."""


def card(vouched: Vouched, artifact: str, bundle: str) -> str:
    """Return the card's content as JSON.

    A package's card has `model_creator` and `model_artifact` in its overview and nothing else there
    (SageMaker API reference, ModelPackageModelCard).
    """
    who = "the federation's server" if not vouched.is_client else vouched.side
    scored_on = "the server's test set" if not vouched.is_client else "its own hold-out"
    content: dict[str, Any] = {
        "model_overview": {"model_creator": f"Fedstack, {who}"[:1024], "model_artifact": [artifact]},
        "intended_uses": {
            "purpose_of_model": f"Scores rows of the federation's schema with {_predicts(vouched)[0]}.",
            "factors_affecting_model_efficiency": "It was trained on rows of several accounts that differ; "
            "who gains how much stands in the run's report.",
            "risk_rating": "Unknown",
        },
        "training_details": {
            "training_observations": "Trained by federated learning: raw rows left no account.",
            "training_job_details": {"user_provided_hyper_parameters": _hyper_parameters(vouched)},
        },
        "additional_information": {
            "caveats_and_recommendations": "Approve it only after comparing this ledger's head with the "
            "other side's (verify).",
            "custom_details": facts(vouched, bundle),
        },
    }
    if vouched.metrics:
        data = [
            {"name": name, "type": "number", "value": value, **_note(vouched.intervals.get(name))}
            for name, value in vouched.metrics.items()
        ]
        content["evaluation_details"] = [
            {"name": f"On {scored_on}", "metric_groups": [{"name": "scores", "metric_data": data}]}
        ]
    return json.dumps(content)


def facts(vouched: Vouched, bundle: str) -> dict[str, str]:
    """Return what identifies a model: its own digest, and those of the ledger and of the code behind it."""
    told = {
        "model_sha256": vouched.sha256,
        "ledger_head": vouched.head,
        "bundle": bundle,
        "run_id": vouched.run_id,
        "registered_by": vouched.side,
        "verdict": str(vouched.ended.get("verdict", "")),
    }
    return {name: value[:_LONGEST_VALUE] for name, value in told.items() if value}


def metrics_report(vouched: Vouched) -> str:
    """Return the metrics as a model-quality report of SageMaker Model Monitor has them."""
    scores = {name: {"value": value, "standard_deviation": "NaN"} for name, value in vouched.metrics.items()}
    return json.dumps({_predicts(vouched)[1]: scores}) + "\n"


def _predicts(vouched: Vouched) -> tuple[str, str]:
    told = {name.removeprefix("federated_") for name in vouched.metrics}
    return next((_PREDICTS[name] for name in _PREDICTS if name in told), ("what it predicts", "metrics"))


def _note(interval: Mapping[str, float] | None) -> dict[str, str]:
    if not interval:
        return {}
    return {"notes": f"95 % bootstrap interval: {interval['low']:.4g} to {interval['high']:.4g}"}


def _hyper_parameters(vouched: Vouched) -> list[dict[str, str]]:
    settings: Mapping[str, Any] = vouched.started.get("settings", {})
    names = ("model", "strategy", "rounds", "updates", "privacy_epsilon", "seed")
    return [
        {"name": name, "value": str(settings[name])[:_LONGEST_VALUE]}
        for name in names
        if settings.get(name) is not None
    ]
