"""A model is used only when its account's own ledger, whole and unchanged, has its digest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from model_run import ModelRun, as_client
from sklearn.linear_model import LogisticRegression

from runtime.contract import ExitCode, FedstackError
from runtime.ledger import MODEL_DIGEST, Ledger, head, read
from runtime.model.vouched import vouch

Change = Callable[[Path], object]


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.sprung,)


@pytest.mark.parametrize(("side", "who"), [("out", "server"), ("client", "client silo-0")])
def test_a_model_is_vouched_for_by_its_own_side_s_ledger(model_run: ModelRun, side: str, who: str) -> None:
    folder = getattr(model_run, side)
    vouched = vouch(folder, None)
    assert (vouched.side, vouched.run_id, vouched.head) == (who, "run-1", head(folder / "ledger.jsonl"))
    assert vouch(folder / "model.joblib", folder / "ledger.jsonl") == vouched
    assert vouched.load().predict_proba(np.zeros((2, 49))).shape == (2, 2)


def test_every_account_of_a_run_has_the_same_model_to_the_byte(model_run: ModelRun) -> None:
    kept = sorted((model_run.federation.folder / "kept").glob("*/model.joblib"))
    assert len(kept) == 3
    assert {path.read_bytes() for path in kept} == {(model_run.out / "model.joblib").read_bytes()}


def test_a_swapped_model_is_never_unpickled(model_run: ModelRun, tmp_path: Path) -> None:
    folder, sprung = model_run.copy("client", tmp_path), tmp_path / "sprung"
    joblib.dump(Trap(sprung), folder / "model.joblib")
    with pytest.raises(FedstackError, match="not one that this ledger vouches for") as error:
        vouch(folder, None).load()
    assert error.value.code == ExitCode.IDENTITY
    assert not sprung.exists()


def test_a_model_that_is_swapped_after_it_was_vouched_for_is_not_unpickled(
    model_run: ModelRun, tmp_path: Path
) -> None:
    folder, sprung = model_run.copy("client", tmp_path), tmp_path / "sprung"
    vouched = vouch(folder, None)
    joblib.dump(Trap(sprung), folder / "model.joblib")
    with pytest.raises(FedstackError, match="it changed just now"):
        vouched.load()
    assert not sprung.exists()


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))


def cut(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines[2:]]))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


LEDGERS: dict[str, tuple[Change, str]] = {
    "another digest is written in": (
        lambda p: edit(p, MODEL_DIGEST + '": "', MODEL_DIGEST + '": "0'),
        "line 3",
    ),
    "a line is taken out": (cut, "line 2 does not follow"),
    "the end is taken off": (
        lambda p: p.write_text("".join(p.read_text().splitlines(keepends=True)[:-1])),
        "lines are missing",
    ),
    "half a line is left": (lambda p: p.write_text(p.read_text()[:-9]), "half a line"),
    "it is empty": (lambda p: p.write_text(""), "is no ledger"),
    "it is gone": (lambda p: p.unlink(), "There is no ledger at"),
    "it is no text": (lambda p: p.write_bytes(b"\xff\xfe\x00"), "it is no text"),
    "it is a folder": (folder, "cannot be read"),
}


@pytest.mark.parametrize("name", LEDGERS)
def test_a_ledger_that_was_tampered_with_vouches_for_nothing(
    model_run: ModelRun, tmp_path: Path, name: str
) -> None:
    change, words = LEDGERS[name]
    folder = model_run.copy("client", tmp_path)
    change(folder / "ledger.jsonl")
    with pytest.raises(FedstackError, match=words) as error:
        vouch(folder, None)
    assert error.value.code == ExitCode.CONFIG


def test_a_whole_ledger_of_another_run_does_not_vouch(model_run: ModelRun, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    joblib.dump(LogisticRegression(), other / "model.joblib")
    as_client(other, "silo-0")
    with pytest.raises(FedstackError, match="which is not in") as error:
        vouch(model_run.client / "model.joblib", other / "ledger.jsonl")
    assert error.value.code == ExitCode.IDENTITY


def test_a_server_s_model_is_not_taken_on_the_word_of_its_own_report(
    model_run: ModelRun, tmp_path: Path
) -> None:
    """What the server sends beside the ledger, a client does not go by."""
    folder = model_run.copy("out", tmp_path)
    report = json.loads((folder / "report.json").read_text())
    report[MODEL_DIGEST] = "0" * 64
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "model.joblib").write_bytes(b"another")
    with pytest.raises(FedstackError, match="vouches for"):
        vouch(folder, None)


def test_the_run_before_is_still_vouched_for_in_a_ledger_that_went_on(
    model_run: ModelRun, tmp_path: Path
) -> None:
    folder = model_run.copy("client", tmp_path)
    first = read(folder / "ledger.jsonl")[-1][MODEL_DIGEST]
    ledger = Ledger(folder / "ledger.jsonl")
    ledger.write("started", run_id="run-2", client="silo-0", bundle="", certificate="sha256:d")
    ledger.write("failed", code=15, reason="it was stopped", server_ledger=None)
    assert (vouch(folder, None).sha256, vouch(folder, None).run_id) == (first, "run-1")


@pytest.mark.parametrize("file", ["model.joblib", "weights.npz", "."])
def test_an_app_s_own_files_are_refused_in_a_sentence(tmp_path: Path, file: str) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.write("started", run_id="run-1", client="a", bundle="", certificate="sha256:c", app="wine-softmax")
    ledger.write("ended", server_ledger=None)
    if file == "weights.npz":
        np.savez(tmp_path / file, w=np.zeros(2))
    with pytest.raises(FedstackError, match="the app 'wine-softmax', whose files are its own"):
        vouch(tmp_path / file, tmp_path / "ledger.jsonl")


def test_what_is_no_classifier_is_refused_by_what_it_is(tmp_path: Path) -> None:
    joblib.dump({"weights": [1.0]}, tmp_path / "model.joblib")
    as_client(tmp_path, "a")
    with pytest.raises(FedstackError, match="is a dict, no scikit-learn model"):
        vouch(tmp_path, None).load()


def test_a_file_that_no_python_can_load_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"not a pickle")
    as_client(tmp_path, "a")
    with pytest.raises(FedstackError, match="cannot be loaded"):
        vouch(tmp_path, None).load()


def test_a_missing_model_is_named(model_run: ModelRun, tmp_path: Path) -> None:
    shutil.copy(model_run.client / "ledger.jsonl", tmp_path)
    with pytest.raises(FedstackError, match=r"There is no model at .*model\.joblib"):
        vouch(tmp_path, None)
