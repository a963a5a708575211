"""What a run's privacy asks of the clients, and what its report says of it."""

from __future__ import annotations

from typing import Any, Final

from runtime.contract import Updates
from runtime.privacy.accountant import Spend, epsilon
from runtime.tabular.server.settings import RunSettings

PREPARE_METRICS: Final = frozenset({"num-examples"})
TRAIN_METRICS: Final = frozenset({"num-examples", "train-seconds", "train-loss"})
PRIVACY_METRICS: Final = frozenset({"epsilon", "epsilon-spent", "delta"})
UNIT: Final = "one row, there or blanked out; the number of rows is public"


def config(settings: RunSettings) -> dict[str, Any]:
    """Return what clients are told of it."""
    if (asked := settings.terms) is None:
        return {}
    return {
        "privacy-noise": asked.noise_multiplier,
        "privacy-clip": asked.clipping_norm,
        "privacy-delta": asked.delta,
        "privacy-releases": settings.releases,
        "privacy-run": settings.run_id,
    }


def train_metrics(settings: RunSettings) -> frozenset[str]:
    """Return what an update may say beside its arrays."""
    names = TRAIN_METRICS - {"train-loss"} | PRIVACY_METRICS if settings.terms else TRAIN_METRICS
    return names - {"num-examples", "train-loss"} if settings.updates is Updates.SUMS else names


def agree_metrics(settings: RunSettings) -> frozenset[str]:
    """Return what the agreement to a noisy run may say."""
    names = PREPARE_METRICS | PRIVACY_METRICS
    return names - {"num-examples"} if settings.updates is Updates.SUMS else names


def facts(settings: RunSettings, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what report.json says about the run's privacy, each client in its own words."""
    asked = settings.terms
    parts = [(name, part) for entry in rounds for name, part in entry["clients"].items()]
    seen = (
        {name for name, part in parts if part["status"] == "ok"}
        if settings.updates is Updates.PLAIN
        else set()
    )
    made: dict[str, Any] = {
        "updates": settings.updates.value,
        "visible": [name for name in settings.roster if name in seen],
        "differential_privacy": None,
    }
    if asked is None:
        return made
    played = Spend(asked.noise_multiplier, settings.releases * len(rounds) // settings.rounds)
    told = {name: part["privacy"] for name, part in parts if "privacy" in part}
    made["differential_privacy"] = {
        "unit": UNIT,
        "epsilon_asked": settings.privacy_epsilon,
        "delta": asked.delta,
        "clip": asked.clipping_norm,
        "noise": asked.noise_multiplier,
        "releases": played.compositions,
        "epsilon": epsilon(played.cost, asked.delta),
        "clients": told,
    }
    return made
