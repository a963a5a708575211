from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from server_fixture import NAMES, arrays, held_out, settings, state

from runtime.contract import ExitCode, FedstackError
from runtime.ledger import Ledger
from runtime.tabular import models
from runtime.tabular.server import checkpoint
from runtime.tabular.server.checkpoint import SAME, State
from runtime.tabular.server.settings import RunSettings
from runtime.tabular.server.test_set import TestSet

TEST_SET = "a" * 64


def dumped(run: RunSettings) -> dict[str, object]:
    return run.model_dump(mode="json")


def announced(path: Path, digest: str) -> None:
    """Write a round's line, as the run does."""
    Ledger(path.with_name("ledger.jsonl")).write("round", checkpoint_sha256=digest)


def save(path: Path, state: State, settings: dict[str, object]) -> None:
    checkpoint.save(path, state, settings, TEST_SET, lambda digest: announced(path, digest))


def load(path: Path, settings: dict[str, object]) -> State:
    return checkpoint.load(path, settings, TEST_SET)[0]


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_checkpoint_gives_back_the_very_state(tmp_path: Path) -> None:
    run, before = settings(tmp_path), state(0.5, 0.3, 0.4)
    save(run.checkpoint, before, dumped(run))
    after = load(run.checkpoint, dumped(run))
    for name in ("coef", "intercept"):
        assert after.arrays[name].tobytes() == before.arrays[name].tobytes()
        assert after.best_arrays[name].tobytes() == before.best_arrays[name].tobytes()
    assert after.scaler.mean.tobytes() == before.scaler.mean.tobytes()
    assert after.scaler.scale.tobytes() == before.scaler.scale.tobytes()
    assert (after.samples, after.rounds, after.best_round) == (before.samples, before.rounds, 2)
    assert after.digest() == before.digest()


def test_what_cuts_off_a_checkpoint_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = settings(tmp_path)
    save(run.checkpoint, state(0.5), dumped(run))

    def full(file: object, **_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        save(run.checkpoint, state(0.5, 0.4), dumped(run))
    assert load(run.checkpoint, dumped(run)).last_round == 1


def test_a_checkpoint_is_one_file(tmp_path: Path) -> None:
    run = settings(tmp_path)
    for made in (state(0.5), state(0.5, 0.4)):
        save(run.checkpoint, made, dumped(run))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.npz", "ledger.jsonl"]


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    run = settings(tmp_path)
    with pytest.raises(FedstackError, match="There is no checkpoint") as raised:
        load(run.checkpoint, dumped(run))
    assert raised.value.code is ExitCode.CONFIG


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", b"\x80\x04N."])
def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path: Path, damage: bytes) -> None:
    run = settings(tmp_path)
    run.checkpoint.write_bytes(damage)
    announced(run.checkpoint, digest_of(run.checkpoint))
    with pytest.raises(FedstackError, match=r"checkpoint\.npz cannot be read") as raised:
        load(run.checkpoint, dumped(run))
    assert raised.value.code is ExitCode.CONFIG


def test_an_archive_of_something_else_is_no_checkpoint_and_is_not_unpickled(tmp_path: Path) -> None:
    run, mark = settings(tmp_path), tmp_path / "unpickled"
    for stored in (np.zeros(3), np.array([LeavesAMark(mark)], dtype=object)):
        np.savez(run.checkpoint, notes=stored)
        announced(run.checkpoint, digest_of(run.checkpoint))
        with pytest.raises(FedstackError, match="cannot be read"):
            load(run.checkpoint, dumped(run))
    assert not mark.exists()


class LeavesAMark:
    """Something that acts when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self._mark,)


def refusal(run: RunSettings) -> FedstackError:
    with pytest.raises(FedstackError) as raised:
        load(run.checkpoint, dumped(run))
    assert raised.value.code is ExitCode.CONFIG
    return raised.value


def test_a_checkpoint_whose_model_was_negated_does_not_go_on(tmp_path: Path) -> None:
    run = settings(tmp_path)
    save(run.checkpoint, state(0.5, 0.4), dumped(run))
    with np.load(run.checkpoint, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(run.checkpoint, **(arrays | {"arrays/coef": -arrays["arrays/coef"]}))
    assert "checkpoint.npz was changed: its SHA-256 is" in refusal(run).what


def test_a_crash_before_a_checkpoint_is_in_place_leaves_the_one_before_to_go_on_from(tmp_path: Path) -> None:
    run = settings(tmp_path)
    save(run.checkpoint, state(0.5), dumped(run))
    announced(run.checkpoint, "b" * 64)
    assert load(run.checkpoint, dumped(run)).last_round == 1
    announced(run.checkpoint, "c" * 64)
    assert "was changed" in refusal(run).what


def test_crashes_one_after_the_other_leave_it_too(tmp_path: Path) -> None:
    run = settings(tmp_path)
    save(run.checkpoint, state(0.5), dumped(run))
    for other in "bcd":
        announced(run.checkpoint, other * 64)
        digest = checkpoint.load(run.checkpoint, dumped(run), TEST_SET)[1]
        ledger = Ledger(tmp_path / "ledger.jsonl")
        ledger.write("run", settings={"resume": True})
        ledger.write("resumed", checkpoint_sha256=digest)
    assert load(run.checkpoint, dumped(run)).last_round == 1


def test_the_checkpoint_of_an_earlier_run_in_the_same_folder_is_not_gone_on_from(tmp_path: Path) -> None:
    run = settings(tmp_path)
    save(run.checkpoint, state(0.5), dumped(run))
    Ledger(tmp_path / "ledger.jsonl").write("run", settings={"resume": False})
    assert refusal(run).what.endswith("left none.")


@pytest.mark.parametrize("damage", ["missing", "changed", "of no round"])
def test_a_checkpoint_without_its_ledger_is_not_trusted(tmp_path: Path, damage: str) -> None:
    run, ledger = settings(tmp_path), tmp_path / "ledger.jsonl"
    save(run.checkpoint, state(0.5), dumped(run))
    if damage == "missing":
        ledger.unlink()
        assert "cannot be read (No such file" in refusal(run).what
    elif damage == "changed":
        ledger.write_text(ledger.read_text().replace("round", "Round"))
        assert "line 1 was changed" in refusal(run).what
    else:
        ledger.write_text("")
        assert refusal(run).what.endswith("left none.")


def test_a_half_line_that_a_crash_left_in_the_ledger_does_no_harm(tmp_path: Path) -> None:
    run = settings(tmp_path)
    save(run.checkpoint, state(0.5), dumped(run))
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write('{"seq": 1')
    assert load(run.checkpoint, dumped(run)).last_round == 1


def test_a_run_does_not_go_on_with_another_test_set(tmp_path: Path) -> None:
    run = settings(tmp_path)
    save(run.checkpoint, state(0.5), dumped(run))
    with pytest.raises(FedstackError, match=r"The test set .*test\.csv is not the one") as raised:
        checkpoint.load(run.checkpoint, dumped(run), "b" * 64)
    assert raised.value.code is ExitCode.CONFIG


def test_the_test_set_is_told_by_its_columns_features_and_labels() -> None:
    rows, model = held_out().rows, models.load("logistic")
    others = [
        replace(rows, x=rows.x + 1),
        replace(rows, y=1 - rows.y),
        replace(rows, schema=replace(rows.schema, label="other")),
        rows.take(np.arange(len(rows) - 1)),
    ]
    digests = [TestSet(one, model).digest() for one in (rows, replace(rows, x=rows.x.copy()), *others)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5


THREE = [{"name": name, "mailbox": f"file:///mail/{name}"} for name in (*NAMES, "hospital")]
OTHER = {
    "clients": [{"name": "clinic", "mailbox": "file:///mail/clinic"}],
    "iterations": 20,
    "c": 0.5,
    "penalty": "none",
    "class_weight": "balanced",
    "smote": True,
    "validation": 0.2,
    "seed": 1,
    "model": "mlp",
    "privacy_epsilon": 3.0,
    "privacy_delta": 1e-6,
    "privacy_clip": 2.0,
    "updates": "sums",
}
BESIDE = {"privacy_epsilon": {"updates": "noise"}}
"""What a setting cannot be without."""


def test_every_setting_that_must_stay_is_tried_here() -> None:
    assert {*OTHER, "strategy", "strategy_options"} == {*SAME}


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_run_with_other_settings_does_not_go_on(tmp_path: Path, name: str) -> None:
    run = settings(tmp_path, strategy="fedavg", clients=THREE)
    save(run.checkpoint, state(0.5), dumped(run))
    changed = {name: OTHER[name], **BESIDE.get(name, {})}
    other = settings(tmp_path, **{"strategy": "fedavg", "clients": THREE, **changed})
    with pytest.raises(FedstackError, match=f"{name} was ") as raised:
        load(run.checkpoint, dumped(other))
    assert raised.value.code is ExitCode.CONFIG


def test_a_run_may_go_on_for_more_rounds_elsewhere(tmp_path: Path) -> None:
    run = settings(tmp_path)
    save(run.checkpoint, state(0.5), dumped(run))
    other = settings(tmp_path, rounds=99, address="10.0.0.1:9000", min_clients=1, round_seconds=5)
    assert load(run.checkpoint, dumped(other)).last_round == 1


def test_the_best_round_is_the_one_with_the_lowest_loss_the_later_of_equals() -> None:
    made = state(0.5, 0.3, 0.3, 0.4)
    assert (made.best_round, made.last_round) == (3, 4)
    np.testing.assert_array_equal(made.best_arrays["coef"], arrays(0.03)["coef"])


@pytest.mark.parametrize(("patience", "final"), [(0, 4), (1, 3), (9, 3)])
def test_the_best_model_is_final_only_where_a_run_may_stop_early(patience: int, final: int) -> None:
    made = state(0.5, 0.4, 0.3, 0.4)
    number, model = made.final(patience)
    assert number == final
    np.testing.assert_array_equal(model["coef"], arrays(final / 100)["coef"])


def test_a_run_stalls_after_as_many_rounds_as_it_has_patience() -> None:
    made = state(0.5, 0.3, 0.4, 0.4)
    assert [patience for patience in range(5) if made.stalled(patience)] == [1, 2]
    assert not state().stalled(1)


def test_the_digest_names_the_model() -> None:
    assert state(0.5).digest() == state(0.7).digest() != state(0.5, 0.4).digest()
