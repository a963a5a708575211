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
from runtime.privacy.budget import Budget
from runtime.task import preparation
from runtime.task.data import Dataset

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


def shares_in_turn(folder: Path, rows: Dataset, shares: np.ndarray) -> np.ndarray:
    """Ask for the sums in a new run for each share, in which nothing is fixed yet; return the differences."""
    sums = []
    for number, share in enumerate(shares):
        victim = Victim(folder / str(number), rows, PLAIN)
        means, counts = split_off(victim, range(1), float(share))
        sums.append(np.append(means[0], 1.0) * counts[0])
    return np.diff(sums, axis=0)


SHARES = np.arange(0.1, 0.115, 1 / ROWS / 4)


def test_switched_off_shares_that_differ_little_differ_by_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switched off: that another share draws anew. A run is started again for each share."""
    monkeypatch.setattr(preparation, "FINENESS", 0)
    rows = rows_of(ROWS, positives=0.0)
    found = shares_in_turn(tmp_path, rows, SHARES)
    single = -found[np.round(found[:, -1]) == -1, :-1]
    assert len(single) >= 3
    assert rebuilt(single, rows.transformed(), within=1e-9) == len(single)


def test_shares_that_differ_little_in_another_run_differ_by_many_rows(tmp_path: Path) -> None:
    rows = rows_of(ROWS, positives=0.0)
    found = shares_in_turn(tmp_path, rows, SHARES)
    assert rebuilt(-found[:, :-1], rows.transformed(), within=1.0) == 0


@pytest.mark.parametrize("share", [1 / ROWS, 0.01, 0.0499, -0.1, np.nan, 0.51, True])
def test_a_share_that_sets_few_rows_aside_is_refused_in_any_run(tmp_path: Path, share: float) -> None:
    """Beside a run without validation rows it would tell those few."""
    with pytest.raises(Refused, match=r"validation may be 0, or from 0\.05 to 0\.5 of the rows"):
        split_off(Victim(tmp_path, rows_of(ROWS), PLAIN), range(1), share)


def test_what_remains_as_many_runs_as_rows_with_a_seed_each_are_equations_for_all(tmp_path: Path) -> None:
    """A new run may have a new seed, and which rows it takes follows from it: n runs give n rows.

    Each is a job of the client's account, in its own ledger; only noise is counted over all runs.
    """
    rows, taken, sums = rows_of(80, positives=0.0), [], []
    for seed in range(120):
        means, counts = split_off(Victim(tmp_path / str(seed), rows, PLAIN), range(seed, seed + 1), 0.5)
        fake = Dataset(np.arange(80.0)[:, None], np.zeros(80, dtype=np.int64), rows.schema)
        split = preparation.prepare(fake, validation=0.5, smote=False, seed=seed)
        taken.append(np.isin(np.arange(80.0), split.train.x[:, 0]).astype(float))
        sums.append(means[0] * counts[0])
    found = np.linalg.lstsq(np.array(taken), np.array(sums), rcond=None)[0]
    assert rebuilt(found, rows.transformed(), within=1e-6) == 80


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


@pytest.mark.parametrize("kind", ["train.private", "train.private_curvature"])
def test_every_noisy_answer_is_paid_for_whatever_the_run_is_called(tmp_path: Path, kind: str) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), {"privacy-updates": "noise", "privacy-epsilon-budget": 2.0})
    noise = {"privacy-noise": 10.0, "privacy-clip": 4.0, "privacy-delta": 1e-5, "iterations": 3}
    for name in ("run-1", "run-2", ""):
        asked = settings(SCALER, **noise, **{"privacy-run": name})
        victim.ask(kind, arrays=model(np.zeros(50)), config=asked)
    spent = Budget(f"file://{tmp_path}/north", None, 1e-5).entries()
    releases = 3 if kind == "train.private" else 1
    assert [(entry["noise"], entry["releases"]) for entry in spent] == [(10.0, releases)] * 3
    dear = settings(SCALER, **{**noise, "privacy-noise": 1.0}, **{"privacy-run": "run-3"})
    fresh = Victim(tmp_path, rows_of(ROWS), {"privacy-updates": "noise", "privacy-epsilon-budget": 2.0})
    with pytest.raises(Refused, match="The privacy budget is epsilon 2"):
        fresh.ask(kind, arrays=model(np.zeros(50)), config=dear)
    assert len(Budget(f"file://{tmp_path}/north", None, 1e-5).entries()) == 3


@pytest.mark.parametrize(
    "kind", ["query.prepare", "train", "train.curvature", "evaluate", "query.client_gain"]
)
def test_beside_a_budget_nothing_leaves_without_noise(tmp_path: Path, kind: str) -> None:
    victim = Victim(tmp_path, rows_of(ROWS), {"privacy-updates": "noise", "privacy-epsilon-budget": 2.0})
    with pytest.raises(Refused, match="is not differentially private, and only noise may leave"):
        victim.ask(kind, arrays=model(np.zeros(50)), config=settings(SCALER, rounds=1))


def test_the_largest_share_is_the_documented_one() -> None:
    assert run_state.LARGEST_VALIDATION == 0.5
