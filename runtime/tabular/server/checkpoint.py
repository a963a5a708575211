"""The state of a run after a round, so that it can go on from there to the same model."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime import ledger
from runtime.contract import ExitCode, FedstackError
from runtime.tabular.data.moments import Scaler
from runtime.tabular.models import Arrays
from runtime.tabular.task_scores import LOSSES

SAME = (
    "clients",
    "model",
    "strategy",
    "strategy_options",
    "iterations",
    "c",
    "penalty",
    "class_weight",
    "smote",
    "validation",
    "privacy_epsilon",
    "privacy_delta",
    "privacy_clip",
    "updates",
    "seed",
)
"""Settings that a resumed run must share with the run that it goes on from."""


@dataclass
class State:
    """All that a run carries from one round to the next.

    Parameters
    ----------
    stopped
        Why the run ended before its last planned round, if it did.
    label_sums
        What is known of all training rows' labels: of classes how many have each.
    votes
        The sum of the clients' votes on what they let out (LinearModel.fitting); None of other models.
    arrays, best_arrays
        The global model after the last round, and after the round with the lowest test loss.
    samples
        Training rows of each client; 0 where only their sum is known.
    summed_rows
        Training rows of all, where only their sum is known.
    strategy
        What the strategy keeps from round to round.
    rounds
        What report.json says about each round so far.
    """

    arrays: Arrays
    scaler: Scaler
    samples: dict[str, int]
    summed_rows: int = 0
    strategy: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    best_arrays: Arrays = field(default_factory=dict)
    best_round: int = 0
    stopped: str | None = None
    label_sums: npt.NDArray[np.float64] | None = None
    votes: npt.NDArray[np.float64] | None = None

    @property
    def last_round(self) -> int:
        """The last round that is complete; 0 before the first."""
        return int(self.rounds[-1]["round"]) if self.rounds else 0

    @property
    def rows(self) -> int:
        """All clients' training rows together."""
        return self.summed_rows or sum(self.samples.values())

    def advance(self, arrays: Arrays, entry: dict[str, Any]) -> None:
        """Take a round's model, and note whether it is the best so far."""
        self.arrays = arrays
        self.rounds.append(entry)
        losses = [test_loss(one["test"]) for one in self.rounds]
        if losses[-1] <= min(losses):
            self.best_arrays, self.best_round = arrays, self.last_round

    def final(self, patience: int) -> tuple[int, Arrays]:
        """Return the final model and its round: the last one, or the best one of a run that may stop early.

        Only a run that was told to watch its test loss lets the test set choose.
        """
        if patience > 0 and self.best_arrays:
            return self.best_round, self.best_arrays
        return self.last_round, self.arrays

    def stalled(self, patience: int) -> bool:
        """Return whether the test loss has not improved for so many rounds; never with patience 0."""
        return patience > 0 and self.last_round - self.best_round >= patience

    def digest(self) -> str:
        """Return the SHA-256 of the global model, to name it in the ledger."""
        digest = hashlib.sha256()
        for name in sorted(self.arrays):
            digest.update(name.encode() + np.ascontiguousarray(self.arrays[name]).tobytes())
        return digest.hexdigest()


def test_loss(scores: Mapping[str, float]) -> float:
    """Return the score of a round by which the best one is told: less is better."""
    return next((scores[name] for name in LOSSES if name in scores), math.nan)


def save(
    path: Path,
    state: State,
    settings: dict[str, Any],
    test_sha256: str,
    announce: Callable[[str], None],
) -> None:
    """Write a checkpoint in place of the last one; a crash leaves one of them whole.

    Parameters
    ----------
    test_sha256
        The digest of the test set, which a resumed run must share.
    announce
        Called with the new file's SHA-256 before it takes the last one's place.
    """
    arrays: dict[str, npt.NDArray[Any]] = {
        **{f"arrays/{name}": array for name, array in state.arrays.items()},
        **{f"best/{name}": array for name, array in state.best_arrays.items()},
        **{f"strategy/{name}": array for name, array in state.strategy.items()},
        "scaler/mean": state.scaler.mean,
        "scaler/scale": state.scaler.scale,
    }
    if state.scaler.fill is not None:
        arrays["scaler/fill"] = state.scaler.fill
    if state.label_sums is not None:
        arrays["labels/sums"] = state.label_sums
    if state.votes is not None:
        arrays["votes"] = state.votes
    notes = {
        "samples": state.samples,
        "summed_rows": state.summed_rows,
        "rounds": state.rounds,
        "best_round": state.best_round,
        "settings": {name: settings[name] for name in SAME},
        "test_sha256": test_sha256,
    }
    fresh = path.with_suffix(".tmp")
    try:
        with fresh.open("wb") as file:
            np.savez(file, allow_pickle=False, notes=np.array(json.dumps(notes)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        announce(_sha256_of(fresh))
    except (OSError, FedstackError):
        fresh.unlink(missing_ok=True)  # on a disk that is full, what there is of it takes room
        raise
    fresh.replace(path)


def load(path: Path, settings: dict[str, Any], test_sha256: str) -> tuple[State, str]:
    """Read a checkpoint; return it and its SHA-256.

    Raises
    ------
    FedstackError
        When there is none that can be read, the ledger beside it names another one, or it is of a run with
        another test set or other settings (all that differ are named).
    """
    if not path.exists():
        raise FedstackError(
            ExitCode.CONFIG, f"There is no checkpoint at {path}.", "Start the run without --resume."
        )
    digest = _sha256_of(path)
    _check_ledger(path, digest)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        notes = json.loads(str(arrays.pop("notes")))
        before, test_before = {name: notes["settings"][name] for name in SAME}, notes["test_sha256"]
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise FedstackError(
            ExitCode.CONFIG,
            f"The checkpoint at {path} cannot be read ({type(error).__name__}: {error}).",
            "Restore it, or start the run without --resume.",
        ) from error
    unequal = [
        f"{name} was {value!r} and is {settings[name]!r}"
        for name, value in before.items()
        if value != settings[name]
    ]
    if unequal:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The checkpoint at {path} is of another run: {'; '.join(unequal)}.",
            "Resume with the same settings, or start without --resume.",
        )
    if test_before != test_sha256:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The test set {settings['test_data']} is not the one that the run began with: its SHA-256 was "
            f"{test_before} and is {test_sha256}.",
            "Resume with the same test set, or start without --resume.",
        )
    state = State(
        arrays=_under("arrays/", arrays),
        scaler=Scaler(arrays["scaler/mean"], arrays["scaler/scale"], arrays.get("scaler/fill")),
        label_sums=arrays.get("labels/sums"),
        votes=arrays.get("votes"),
        samples=notes["samples"],
        summed_rows=notes["summed_rows"],
        strategy=_under("strategy/", arrays),
        rounds=notes["rounds"],
        best_arrays=_under("best/", arrays),
        best_round=notes["best_round"],
    )
    return state, digest


def _check_ledger(path: Path, digest: str) -> None:
    """Refuse a checkpoint that the ledger beside it does not name.

    The ledger names a checkpoint before that is in place, so a crash in between leaves the one before.
    """
    beside, named = path.with_name("ledger.jsonl"), list[str]()
    try:
        events = ledger.read(beside)
    except (FedstackError, ledger.LedgerError) as error:
        what = error.what if isinstance(error, FedstackError) else f"{error}."
        raise FedstackError(
            ExitCode.CONFIG,
            f"The checkpoint at {path} cannot be trusted. {what}",
            "Restore the ledger, or start the run without --resume.",
        ) from error
    for event in events:
        if event["event"] == "run" and not event.get("settings", {}).get("resume"):
            named.clear()  # another run began here
        elif "checkpoint_sha256" in event:
            named.append(event["checkpoint_sha256"])
    if digest not in named[-2:]:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The checkpoint at {path} was changed: its SHA-256 is {digest}, and the last round in {beside} "
            f"left {named[-1] if named else 'none'}.",
            "Restore it, or start the run without --resume.",
        )


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _under(prefix: str, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
