"""What a run's privacy asks of the server's side, and which strategy can give it: one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runtime.privacy.accountant import Spend, epsilon, noise_for
from runtime.privacy.mechanism import Terms
from runtime.server.guard import PREPARE_METRICS, TRAIN_METRICS
from runtime.task import models

if TYPE_CHECKING:
    from runtime.server.settings import RunSettings

PRIVACY_METRICS: Final = frozenset({"epsilon", "epsilon-spent", "delta"})
UNIT: Final = "one row, there or blanked out; the number of rows is public"

LOSS: Final = "weighs clients by their training loss, which may not leave them"
SINGLE: Final = "compares single updates, of which the server sees only the sum"
TREES: Final = "collects trees, which no bound on a row and no sum is made for"
UNKNOWN: Final = "is not known to work with it"


@dataclass(frozen=True)
class Support:
    """Why a strategy does not work with a privacy feature; None: it works."""

    dp: str | None
    secure: str | None

    @property
    def both(self) -> str | None:
        """Both work together where each works alone."""
        return self.dp or self.secure


WORKS: Final = Support(None, None)
SUPPORT: Final = {
    "fednewton": WORKS,
    "fedavg": WORKS,
    "fedavgm": WORKS,
    "fedprox": WORKS,
    "fedadagrad": WORKS,
    "fedadam": WORKS,
    "fedyogi": WORKS,
    "qfedavg": Support(LOSS, SINGLE),
    "fedxgbbagging": Support(TREES, TREES),
    "fedmedian": Support(None, SINGLE),
    "fedtrimmedavg": Support(None, SINGLE),
    "krum": Support(None, SINGLE),
    "multikrum": Support(None, SINGLE),
    "bulyan": Support(None, SINGLE),
}
"""Every strategy; settings refuse by it, docs/privacy.md shows it."""

FEWEST_IN_A_SUM: Final = 3


def table() -> str:
    """Return the table of docs/privacy.md."""
    lines = ["| strategy | differential privacy | secure aggregation | both |", "|---|---|---|---|"]
    for name, support in SUPPORT.items():
        cells = (support.dp, support.secure, support.both)
        shown = [f"refused: {reason}" if reason else "works" for reason in cells]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def refusals(settings: RunSettings) -> list[str]:
    """Return why these settings cannot be private in the way that they ask for."""
    dp, secure = settings.privacy_epsilon is not None, settings.secure_aggregation
    support = SUPPORT.get(settings.strategy, Support(UNKNOWN, UNKNOWN))
    asked = [("differential privacy", dp, support.dp), ("secure aggregation", secure, support.secure)]
    found = [f"{settings.strategy} refuses {name}: it {why}" for name, on, why in asked if on and why]
    names = " and ".join(name for name, on, _ in asked if on)
    if dp and settings.model != "logistic":
        found.append(f"differential privacy refuses the model {settings.model}: it is made for logistic")
    if secure and not models.load(settings.model).fixed_size:
        found.append(f"secure aggregation refuses the model {settings.model}: its updates differ in size")
    if dp and settings.smote:
        found.append("privacy refuses smote: a synthetic row depends on several real ones")
    if dp and settings.class_weight != "none":
        found.append("privacy refuses class_weight: a row would change the weight of all others")
    if names and settings.validation:
        found.append(f"{names} refuses validation rows: no score of a client may leave it")
    if names and settings.engine.value != "link":
        found.append(f"{names} needs --engine link: Flower's engines keep no state of a client's process")
    if secure and settings.quorum < FEWEST_IN_A_SUM:
        found.append(
            f"secure aggregation needs {FEWEST_IN_A_SUM} clients a round, {settings.quorum} are sure: "
            "of two, each could take its own from the sum"
        )
    return found


def releases(settings: RunSettings) -> int:
    """Return how many noisy releases a client makes in the whole run."""
    return settings.rounds * (1 if settings.strategy == "fednewton" else settings.iterations)


def terms(settings: RunSettings) -> Terms | None:
    """Return the noise with which the whole run has the epsilon asked for; None without."""
    if settings.privacy_epsilon is None:
        return None
    noise = noise_for(settings.privacy_epsilon, settings.privacy_delta, releases(settings))
    return Terms(noise, settings.privacy_clip, settings.privacy_delta)


def config(settings: RunSettings) -> dict[str, Any]:
    """Return what clients are told of it."""
    if (asked := terms(settings)) is None:
        return {}
    return {
        "privacy-noise": asked.noise,
        "privacy-clip": asked.clip,
        "privacy-delta": asked.delta,
        "privacy-releases": releases(settings),
        "privacy-run": settings.run_id,
    }


def train_metrics(settings: RunSettings) -> frozenset[str]:
    """Return what an update may say beside its arrays."""
    names = TRAIN_METRICS - {"train-loss"} | PRIVACY_METRICS if terms(settings) else TRAIN_METRICS
    return names - {"num-examples", "train-loss"} if settings.secure_aggregation else names


def prepare_metrics(settings: RunSettings) -> frozenset[str]:
    """Return what the answer to the preparation may say."""
    names = PREPARE_METRICS | PRIVACY_METRICS if terms(settings) else PREPARE_METRICS
    return names - {"num-examples"} if settings.secure_aggregation else names


def facts(settings: RunSettings, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what report.json says about the run's privacy, each client in its own words."""
    asked = terms(settings)
    made: dict[str, Any] = {"secure_aggregation": settings.secure_aggregation, "differential_privacy": None}
    if asked is None:
        return made
    played = Spend(asked.noise, releases(settings) * len(rounds) // settings.rounds)
    told = {name: part["privacy"] for e in rounds for name, part in e["clients"].items() if "privacy" in part}
    made["differential_privacy"] = {
        "unit": UNIT,
        "epsilon_asked": settings.privacy_epsilon,
        "delta": asked.delta,
        "clip": asked.clip,
        "noise": asked.noise,
        "releases": played.releases,
        "epsilon": epsilon(played.cost, asked.delta),
        "clients": told,
    }
    return made
