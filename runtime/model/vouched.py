"""A model is taken only when its account's own ledger, whole and unchanged, has its digest.

joblib unpickles, so this comes before anything is loaded.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import joblib

from runtime.contract import ExitCode, FedstackError
from runtime.errors import printable
from runtime.ledger import MODEL_DIGEST, LedgerError
from runtime.sides import RUN, Part, Side, load

MODEL_FILE: Final = "model.joblib"
LEDGER_FILE: Final = "ledger.jsonl"


@dataclass(frozen=True)
class Vouched:
    """A model file, and what the ledger says of the run that wrote it.

    Parameters
    ----------
    head
        The hash of the ledger's last line, which stands for every line before.
    started, ended
        The events with which that run, or the client's job, began and ended.
    side
        `server`, or `client NAME`.
    metrics
        What the ledger says that the model scores: on the server's test set, or on the client's own hold-out.
    intervals
        The bootstrap intervals of those that have one: `low` and `high` of each.
    """

    path: Path
    sha256: str
    head: str
    side: str
    started: Mapping[str, Any]
    ended: Mapping[str, Any]
    metrics: Mapping[str, float]
    intervals: Mapping[str, Mapping[str, float]]

    @property
    def is_client(self) -> bool:
        """Whether it is a client's own."""
        return self.side != "server"

    @property
    def run_id(self) -> str:
        """The run."""
        told = self.started if self.is_client else self.started["settings"]
        return str(told["run_id"])

    def load(self) -> Any:
        """Load the model, whose bytes are read once more: what was vouched for is what is loaded."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise _foreign(self.path, "it changed just now")
        try:
            model = joblib.load(io.BytesIO(content))
        except ImportError as error:
            raise FedstackError(
                ExitCode.CONFIG,
                f"{self.path} needs {error.name}, which is not installed here.",
                "Install it: trees need the extra `trees`.",
            ) from error
        except Exception as error:  # a pickle of another release of its library may fail with anything
            raise FedstackError(
                ExitCode.VERSION,
                f"{self.path} cannot be loaded: {type(error).__name__}: {printable(error)}.",
                "Load it with the release that wrote it.",
            ) from error
        if not hasattr(model, "predict"):
            raise FedstackError(
                ExitCode.CONFIG,
                f"{self.path} is a {type(model).__name__}, no scikit-learn model.",
                "Use it as its own library does.",
            )
        return model


def vouch(model: Path, ledger: Path | None) -> Vouched:
    """Return a model that a ledger vouches for.

    Parameters
    ----------
    model
        The file, or a folder of a run's with `model.joblib` in it.
    ledger
        The account's own ledger; beside the model if not given.

    Raises
    ------
    FedstackError
        When there is no ledger, it was changed, or it does not have the model's digest.
    """
    folder, path = (model, model / MODEL_FILE) if model.is_dir() else (model.parent, model)
    place = ledger or folder / LEDGER_FILE
    if not place.exists():
        raise FedstackError(
            ExitCode.CONFIG,
            f"There is no ledger at {place}, and a model is used only when its account's own ledger has it.",
            "Give the run's own ledger.jsonl with --ledger.",
        )
    try:
        side = load(place)
    except LedgerError as error:
        raise FedstackError(
            ExitCode.CONFIG,
            f"The ledger was changed: {error}.",
            "Use the ledger as the run left it; a model that it does not vouch for is not used.",
        ) from error
    if not path.exists():
        raise _no_model(path, side)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error
    for part in reversed(side.parts):
        if part[-1].event.get(MODEL_DIGEST) == digest:
            return _vouched(path, digest, side, part)
    if app := _app(side):
        raise _of_app(path, app)
    raise _foreign(path, f"its SHA-256 is {digest[:12]}..., which is not in {place}")


def _vouched(path: Path, digest: str, side: Side, part: Part) -> Vouched:
    started, ended = part[0].event, part[-1].event
    who = "server" if side.kind == RUN else f"client {part[0].text('client')}"
    scores: dict[str, Any] = ended.get("metrics", {})
    for line in part:
        if line.kind == "value":  # what this client gains, where it told it plain
            scores = {
                f"{whose}_{name}": value
                for whose in ("federated", "local_only")
                for name, value in line.event.get(whose, {}).items()
            }
    numbers = {name: float(value) for name, value in scores.items() if isinstance(value, int | float)}
    head, intervals = str(side.parts[-1][-1].event["sha256"]), ended.get("intervals", {})
    return Vouched(path, digest, head, who, started, ended, numbers, intervals)


def _app(side: Side) -> str:
    """Return the Flower app that the last run was of, where it is not the built-in one."""
    told = side.parts[-1][0].event.get("app")
    return str(told.get("name", "")) if isinstance(told, dict) else str(told or "")


def _no_model(path: Path, side: Side) -> FedstackError:
    if app := _app(side):
        return _of_app(path, app)
    return FedstackError(
        ExitCode.CONFIG, f"There is no model at {path}.", "Give a run's folder, or its model.joblib."
    )


def _of_app(path: Path, app: str) -> FedstackError:
    return FedstackError(
        ExitCode.CONFIG,
        f"{path} is of a run of the app {app!r}, whose files are its own: no scikit-learn model was written "
        "by the platform.",
        "Use the app's files as the app does; only a run of the built-in app leaves a model.joblib.",
    )


def _foreign(path: Path, why: str) -> FedstackError:
    return FedstackError(
        ExitCode.IDENTITY,
        f"The model {path} is not one that this ledger vouches for: {why}.",
        "Take the model.joblib that the run left beside its ledger.",
    )


def _unreadable(path: Path, error: OSError) -> FedstackError:
    return FedstackError(
        ExitCode.CONFIG, f"{path} cannot be read ({error.strerror}).", "Give a file that can be read."
    )
