"""The report of a run: what happened, how good the model is, who contributed what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np

from runtime.contract import ExitCode, FedstackError
from runtime.server.report import files as written
from runtime.tabular import models
from runtime.tabular.data.moments import Scaler
from runtime.tabular.inference import coefficients
from runtime.tabular.models.linear_model import LinearModel
from runtime.tabular.report.page import render
from runtime.tabular.server import privacy
from runtime.tabular.server.checkpoint import State
from runtime.tabular.server.client_gain import Value
from runtime.tabular.server.settings import RunSettings
from runtime.tabular.server.test_set import TestSet

MORE_ROUNDS: Final = (
    "Go on with --resume and more --rounds; where labels can be told apart without an error, only a penalty "
    "makes an end (--c, or no --penalty none)."
)
SMALL: Final = (
    "At that model a few rows of a client outweigh all its others: a stronger penalty (--c), more rows for "
    "each client, or rare labels joined keep clear of that."
)


def build(
    settings: RunSettings,
    state: State | None,
    test: TestSet,
    seconds: dict[str, float],
    error: BaseException | None,
    value: Value,
    aside: Mapping[str, str] | None = None,
    withheld: str = "",
) -> dict[str, Any]:
    """Build report.json's content.

    Parameters
    ----------
    state
        The run's state, or None when it ended before any was.
    error
        What ended the run early; None for a run that played all its rounds.
    value
        What each client gains.
    aside
        Clients that were set aside, each with the reason.
    withheld
        Why a client's policy let no more out than the rounds that were played.
    """
    aside = aside or {}
    rounds = state.rounds if state else []
    parts = {name: sum(_took_part(entry, name) for entry in rounds) for name in settings.roster}
    final_round, final_arrays = state.final(settings.patience) if state else (0, {})
    fit = convergence(settings, state)
    return {
        **written.heading(settings, _verdict(len(rounds), parts, error, aside, fit, withheld)),
        "model": settings.model,
        "penalty": None if settings.penalty == "none" else {"c": settings.c},
        "convergence": fit,
        "scores": [{"name": name, "title": one.title} for name, one in test.score_kinds.items()],
        "strategy": settings.strategy,
        "clients": [
            {
                "name": name,
                "samples": _samples(name, rounds, state),
                "status": _status(name, parts[name], len(rounds), state) + _set_aside(name, aside),
                "value": value.clients.get(name),
            }
            for name in settings.roster
        ],
        "training_samples": state.rows if state else 0,
        "value_missing": value.missing,
        "value_summed": value.summed,
        "rounds_planned": settings.rounds,
        "stopped_early": error is None and len(rounds) < settings.rounds,
        "stopped": state.stopped if state else None,
        "strategy_options": settings.strategy_options,
        "best_round": state.best_round if state else 0,
        "final_round": final_round,
        "rounds": rounds,
        "privacy": privacy.facts(settings, rounds),
        **test.facts(),
        **(_judged(test, final_arrays, state.scaler, settings) if state and final_round else {"final": {}}),
        "coefficients": _coefficients(settings, state, test),
        "seconds": seconds,
        "versions": written.software_versions(),
    }


def _judged(test: TestSet, arrays: models.Arrays, scaler: Scaler, settings: RunSettings) -> dict[str, Any]:
    return test.verdict(arrays, scaler, settings.aim, settings.seed)


def convergence(settings: RunSettings, state: State | None) -> dict[str, Any] | None:
    """Return how near the optimum FedNewton has come; None for strategies that do not say, and with noise."""
    kept = state.strategy if state else {}
    if settings.strategy != "fednewton" or settings.privacy_epsilon is not None or "decrement" not in kept:
        return None
    tolerance = settings.make_strategy().tolerance  # type: ignore[attr-defined]
    step = float(np.abs(kept["step"]).max(initial=0.0))
    return {
        "converged": bool(kept["converged"][0]),
        "decrement": float(kept["decrement"][0]),
        "tolerance": tolerance,
        "last_step": step,
    }


def _coefficients(settings: RunSettings, state: State | None, test: TestSet) -> dict[str, Any] | None:
    """Return the linear model's coefficients; None of other models, and with noise."""
    kind = models.load(settings.model)
    if (
        state is None
        or not state.rounds
        or not isinstance(kind, LinearModel)
        or settings.privacy_epsilon is not None
    ):
        return None
    final = state.final(settings.patience)[1]
    last = state.strategy if settings.strategy == "fednewton" and settings.patience == 0 else {}
    return coefficients(test.rows.schema, final, state.scaler, last, c=settings.strength, rows=state.rows)


def write(
    report: dict[str, Any], settings: RunSettings, state: State | None, test: TestSet, drafts: written.Drafts
) -> dict[str, Path]:
    """Draft report, page and model; return every file of the run by what it is."""
    out = settings.out
    files = {"report": out / "report.json", "page": out / "report.html", "ledger": out / "ledger.jsonl"}
    if state and state.rounds:
        files = {"model": out / "model.joblib", **files, "checkpoint": settings.checkpoint}
    report["files"] = {label: path.name for label, path in files.items()}
    written.draft(report, render(report), out, drafts)
    if "model" in files and state:
        model = test.pipeline(state.final(settings.patience)[1], state.scaler)
        drafts.write(files["model"], lambda place: joblib.dump(model, place))
    return files


def _verdict(
    rounds: int,
    parts: dict[str, int],
    error: BaseException | None,
    aside: Mapping[str, str],
    fit: Mapping[str, Any] | None,
    withheld: str,
) -> written.Verdict:
    if isinstance(error, FedstackError):
        return "FAILED", error.code, str(error)
    if error is not None:
        return "FAILED", ExitCode.INTERRUPTED, "It was stopped from outside. Go on with --resume."
    reasons = []
    if fit is not None and not fit["converged"]:
        reasons.append(
            f"FedNewton has not converged after {rounds} rounds: its decrement is {fit['decrement']:.3g} "
            f"(tolerance {fit['tolerance']:g}), its last step moved a coefficient by {fit['last_step']:.3g}. "
            f"{SMALL if withheld else MORE_ROUNDS}"
        )
    if withheld:
        reasons.insert(
            0, f"The model is that of round {rounds}, and no more may leave the clients: {withheld}"
        )
    short = {name: count for name, count in parts.items() if count < rounds}
    if short:
        who = ", ".join(
            f"{name} to {count} of {rounds} rounds{_set_aside(name, aside)}" for name, count in short.items()
        )
        reasons.insert(0, f"Not every client contributed to every round: {who}.")
    if reasons:
        return "PARTIAL", ExitCode.PARTIAL, " ".join(reasons)
    return "COMPLETE", ExitCode.OK, None


def _set_aside(name: str, aside: Mapping[str, str]) -> str:
    return f" (set aside: {aside[name]})" if name in aside else ""


def _took_part(entry: dict[str, Any], name: str) -> bool:
    return bool(entry["clients"].get(name, {}).get("status") == "ok")


def _status(name: str, part: int, rounds: int, state: State | None) -> str:
    if state is None or (name not in state.samples and not part):
        return "never joined"
    if not rounds:
        return "joined, but no round ended"
    return "contributed to every round" if part == rounds else f"contributed to {part} of {rounds} rounds"


def _samples(name: str, rounds: list[dict[str, Any]], state: State | None) -> int:
    """Return a client's rows as it told them before the run, or in a round; 0 where only sums are known."""
    told = [int(entry["clients"].get(name, {}).get("samples", 0)) for entry in rounds]
    return (state.samples.get(name, 0) if state else 0) or max(told, default=0)
