"""What a run's privacy asks of the server's side, and which strategy can give it: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runtime.contract import LEAST_COHORT, Updates
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

OWNER: Final = "needs an owner's `updates: plain`, or noise"
"""What every refusal of sums says: the server cannot decide it."""


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
    return [*_of_sums(settings), *_of_noise(settings)]


def _of_sums(settings: RunSettings) -> list[str]:
    if settings.updates is not Updates.SUMS:
        return []
    engine, clients = settings.engine.value, len(settings.clients)
    return against_sums(settings.strategy, settings.model, engine, clients, settings.quorum)


def against_sums(strategy: str, model: str, engine: str, clients: int, sure: int) -> list[str]:
    """Return why updates cannot be asked for in sums; nothing, if they can.

    Parameters
    ----------
    sure
        How many of the clients a round needs.
    """
    found = []
    if reason := SUPPORT.get(strategy, Support(UNKNOWN, UNKNOWN)).secure:
        found.append(f"{strategy} {OWNER}: it {reason}")
    elif not models.load(model).fixed_size:
        found.append(f"the model {model} {OWNER}: its updates differ in size, and sums need one")
    if engine != "link":
        found.append(
            f"the engine {engine} {OWNER}: its virtual clients share a process, and so would their keys"
        )
    if sure < LEAST_COHORT:
        found.append(
            f"a federation of {clients} that goes on with {sure} {OWNER}: a sum has {LEAST_COHORT} members "
            "at least, for of two each could take its own from it"
        )
    return found


def _of_noise(settings: RunSettings) -> list[str]:
    if settings.privacy_epsilon is None:
        return ["updates is 'noise', but no --privacy-epsilon is given"] * (settings.updates is Updates.NOISE)
    found = []
    if reason := SUPPORT.get(settings.strategy, Support(UNKNOWN, UNKNOWN)).dp:
        found.append(f"{settings.strategy} refuses differential privacy: it {reason}")
    if settings.updates is Updates.PLAIN:
        found.append("updates is 'plain' beside --privacy-epsilon: noisy updates are not plain")
    if settings.model != "logistic":
        found.append(f"differential privacy refuses the model {settings.model}: it is made for logistic")
    if settings.smote:
        found.append("differential privacy refuses smote: a synthetic row depends on several real ones")
    if settings.class_weight != "none":
        found.append("differential privacy refuses class_weight: a row would change the weight of all others")
    if settings.validation:
        found.append("differential privacy refuses validation rows: no score of a client may leave it")
    if settings.engine.value != "link":
        found.append("differential privacy needs --engine link: its budget is kept by the client's process")
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
    return names - {"num-examples", "train-loss"} if settings.updates is Updates.SUMS else names


def agree_metrics(settings: RunSettings) -> frozenset[str]:
    """Return what the agreement to a noisy run may say."""
    names = PREPARE_METRICS | PRIVACY_METRICS
    return names - {"num-examples"} if settings.updates is Updates.SUMS else names


def facts(settings: RunSettings, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what report.json says about the run's privacy, each client in its own words."""
    asked = terms(settings)
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
    played = Spend(asked.noise, releases(settings) * len(rounds) // settings.rounds)
    told = {name: part["privacy"] for name, part in parts if "privacy" in part}
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


def visible(report: Mapping[str, Any]) -> str:
    """Say whose updates the server saw; '' where it saw only sums, or noise."""
    names = (report.get("privacy") or {}).get("visible") or []
    return f"updates of {', '.join(names)} were visible to the server" if names else ""
