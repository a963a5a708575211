"""A server that chooses which rows a client keeps back, anew in every message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from attacker import (
    PLAIN,
    SEEN,
    Refused,
    Victim,
    metrics,
    model,
    public_scaler,
    rebuilt,
    rows_of,
    settings,
)

from runtime.client import run_state
from runtime.client.privacy_mod import RunState

SCALER = public_scaler()
ROWS = 300


@pytest.fixture
def unfixed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch off that the first message's settings are the run's."""
    monkeypatch.setattr(RunState, "fix", lambda *_: None)
    return


def split_off(victim: Victim, seeds: range, validation: float = 0.9995) -> tuple[np.ndarray, np.ndarray]:
    """Leave a row or two of each label in the training rows; return the means told and their counts."""
    means, counts = [], []
    for seed in seeds:
        content = victim.ask("query.prepare", config=settings(validation=validation, seed=seed))
        moments = content.array_records["moments"]
        means.append(moments["mean"].numpy())
        counts.append(metrics(content)["num-examples"])
    return np.array(means), np.array(counts)


@pytest.mark.usefixtures("unfixed")
def test_switched_off_a_new_seed_a_message_gives_rows(tmp_path: Path) -> None:
    rows = rows_of(ROWS, positives=0.0)
    victim = Victim(tmp_path, rows, SEEN)
    means, counts = split_off(victim, range(200))
    assert (counts == 1).all()
    assert rebuilt(means, rows.transformed(), within=1e-9) > 100


def test_a_share_that_leaves_few_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"validation may be 0, or from 0\.05 to 0\.5 of the rows"):
        split_off(Victim(tmp_path, rows_of(ROWS), PLAIN), range(1))


@pytest.mark.parametrize("validation", [0.5, 0.4999, 0.1])
def test_a_second_seed_is_refused(tmp_path: Path, validation: float) -> None:
    with pytest.raises(Refused, match="'seed' is another one than the run began with"):
        split_off(Victim(tmp_path, rows_of(ROWS), PLAIN), range(2), validation)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("validation", 0.2),
        ("seed", 1),
        ("smote", True),
        ("class-weight", "balanced"),
        ("c", 1e9),
        ("model", "mlp"),
        ("scaler-scale", [1e-9] * 49),
        ("scaler-mean", [5.0] * 49),
    ],
)
def test_what_the_first_message_said_holds_for_the_run(tmp_path: Path, name: str, value: object) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), PLAIN)
    victim.curvature(np.zeros(50), SCALER)
    with pytest.raises(Refused, match=f"'{name}' is another one than the run began with"):
        victim.curvature(np.zeros(50), SCALER, **{name: value})


@pytest.mark.parametrize("kind", ["train", "train.curvature", "evaluate", "query.client_gain"])
def test_no_other_kind_of_message_has_a_split_of_its_own(tmp_path: Path, kind: str) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), PLAIN)
    victim.ask("query.prepare", config=settings(validation=0.1))
    with pytest.raises(Refused, match="'validation' is another one"):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER, validation=0.2, rounds=1))


def test_after_a_refusal_nothing_is_answered_any_more(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), PLAIN)
    with pytest.raises(Refused):
        split_off(victim, range(2), 0.1)
    with pytest.raises(Refused, match="'seed' is another one"):
        split_off(victim, range(1), 0.1)


def test_every_answer_counts_and_there_are_only_so_many(tmp_path: Path) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), {**PLAIN, "privacy-max-answers": 3})
    for _ in range(3):
        victim.ask("query.prepare", config=settings())
    with pytest.raises(Refused, match="was answered 3 times in this run"):
        victim.ask("query.prepare", config=settings())


@pytest.mark.parametrize("rows", [40, 60])
def test_scores_of_a_hold_out_with_few_of_a_label_are_not_told(tmp_path: Path, rows: int) -> None:
    victim = Victim(tmp_path, rows_of(rows), PLAIN)
    content = victim.ask("evaluate", arrays=model(np.zeros(50)), config=settings(SCALER, validation=0.25))
    told = metrics(content)
    assert np.isnan(told["roc_auc"])
    assert np.isnan(told["pr_auc"])
    content = victim.ask(
        "query.client_gain", arrays=model(np.zeros(50)), config=settings(SCALER, validation=0.25, rounds=1)
    )
    assert (metrics(content)["rows"], metrics(content)["positives"]) == (0, 0)


@pytest.mark.parametrize("kind", ["query.prepare_private", "train.private", "train.private_curvature"])
@pytest.mark.parametrize(
    ("name", "value"), [("validation", 0.3), ("smote", True), ("class-weight", "balanced")]
)
def test_noise_is_of_all_rows_or_of_none_in_every_kind_of_message(
    tmp_path: Path, kind: str, name: str, value: object
) -> None:
    policy = {"privacy-updates": "noise", "privacy-epsilon-budget": 5.0, "privacy-min-noise-multiplier": 2.0}
    victim = Victim(tmp_path, rows_of(ROWS), policy)
    noise = {"privacy-noise": 5.0, "privacy-clip": 4.0, "privacy-delta": 1e-5, "privacy-releases": 1}
    with pytest.raises(Refused, match="together with validation rows, SMOTE or class weights"):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER, **noise, **{name: value}))


def positives_told(victim: Victim, shares: list[float]) -> list[int]:
    """Count rows for several shares kept back: rounding by label tells how many rows have which."""
    noise = {"privacy-noise": 5.0, "privacy-clip": 4.0, "privacy-delta": 1e-5, "privacy-releases": 1}
    return [
        metrics(victim.ask("query.prepare_private", config=settings(validation=share, **noise)))[
            "num-examples"
        ]
        for share in shares
    ]


def test_how_many_rows_there_are_is_that_of_the_file_and_nothing_else(tmp_path: Path) -> None:
    policy = {"privacy-updates": "noise", "privacy-epsilon-budget": 5.0}
    victim = Victim(tmp_path, rows_of(ROWS), policy)
    assert positives_told(victim, [0.0, 0.0]) == [ROWS, ROWS]
    with pytest.raises(Refused, match="validation"):
        positives_told(victim, [0.1])


def test_the_largest_share_is_the_documented_one() -> None:
    assert run_state.LARGEST_VALIDATION == 0.5
