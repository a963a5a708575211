"""Whatever is wrong with the data, and whatever breaks: code, line and column are all that leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from broken_data import FAULTS, HEADER, MARK, ROWS, SCHEMA, break_silo, marks_in
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict

from runtime import errors
from runtime.cli import run_cli
from runtime.client import client
from runtime.client.client import _report
from runtime.client.quiet_mod import quiet
from runtime.contract import ExitCode, FedstackError
from runtime.errors import SEE_LOG, CrossingError, crossing
from runtime.link import client as link
from runtime.link import flower
from runtime.link.client import handle_with
from runtime.messages import SECURE, MessageType
from runtime.tabular.client import silo
from runtime.tabular.client.client_app import app
from runtime.tabular.data.schema import Schema, schema_of
from runtime.tabular.trees import ensemble
from runtime.tabular.trees.ensemble import NO_SPLIT
from runtime.tabular.trees.histograms import Question

flower.adopt_identity(1)

KINDS = sorted({name.removesuffix(".default") for name in app._registered_funcs} | set(MessageType))
"""All that the ClientApp has a handler for, and all that there is a name for."""

IMPLICIT_DENY = {
    MessageType.SECURE_KEYS,
    MessageType.SECURE_MEMBERS,
    MessageType.SECURE_UNMASK,
    MessageType.SECURE_GROUP,
}
"""Messages whose handlers do not look at the data."""

TINY = Schema("tiny", "label", ("a", "b"), ("a",))
PLAIN: dict[str, Any] = {"privacy-updates": "plain", "privacy-min-rows": 1, "privacy-max-answers": 10_000}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    silo.load.cache_clear()
    silo.prepared.cache_clear()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


# The start of a job -----------------------------------------------------------------------------------


def options(folder: Path, data: Path, **changed: Any) -> list[str]:
    said: dict[str, Any] = {
        "run-id": "run-1",
        "server-address": "127.0.0.1:1",
        "server-fingerprint": f"sha256:{'0' * 64}",
        "client-name": "clinic",
        "mailbox": f"file://{folder}/mail",
        "data": data,
        "output-dir": folder / "output",
        "model-dir": folder / "model",
        "privacy-updates": "plain",
    }
    return [f"--{name}={value}" for name, value in (said | changed).items()]


class Start:
    """The client's command line in this process: how it ended, and what left the account."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._folder, self._patch, self._capture = folder, patch, capture

    def __call__(self, data: Path, **changed: Any) -> tuple[object, str]:
        self._patch.setenv("SM_OUTPUT_DIR", str(self._folder))
        self._patch.setattr("sys.argv", ["client.py", *options(self._folder, data, **changed)])
        with pytest.raises(SystemExit) as ended:
            run_cli(client.cli, _report)
        ledger, failure = self._folder / "output" / "ledger.jsonl", self._folder / "failure"
        left = [self._capture.readouterr().err, failure.read_text()]
        return ended.value.code, "\n".join([*left, ledger.read_text() if ledger.exists() else ""])


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return Start(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_job_that_ends_at_its_start_tells_line_and_column_only(
    start: Start, tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    code, left = start(break_silo(tmp_path / "silo", fault))
    assert code == ExitCode.DATA
    assert marks_in(left) == []
    assert str(tmp_path) not in left
    where = FAULTS[fault][1]
    assert f"fedstack-error 11 DATA: Its data cannot be used: {where}. {SEE_LOG}\n" in left or not where
    assert str(tmp_path) in caplog.text


CELLS = [name for name, (_, where) in FAULTS.items() if where.endswith("'")]
"""Faults of one cell."""


@pytest.mark.parametrize("fault", [name for name in CELLS if "file" not in name])
def test_the_owners_own_log_names_line_column_and_value(
    start: Start, tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    start(break_silo(tmp_path / "silo", fault))
    assert marks_in(caplog.records[-1].getMessage()), "the value"
    assert FAULTS[fault][1] in caplog.records[-1].getMessage()
    assert str(tmp_path / "silo") in caplog.records[-1].getMessage(), "the file"


def test_a_path_that_cannot_be_written_does_not_leave(start: Start, tmp_path: Path) -> None:
    """Of an error that is not ours only its kind is told, with the code that docs/troubleshooting.md has."""
    data = tmp_path / "silo"
    data.mkdir()
    (data / "schema.json").write_text(json.dumps(SCHEMA))
    (data / "data.csv").write_text(HEADER + ROWS)
    (tmp_path / MARK).touch()
    code, left = start(data, mailbox=f"file://{tmp_path}/{MARK}/mail")
    assert code == ExitCode.CLIENT_APP
    assert "fedstack-error 16 CLIENT_APP: NotADirectoryError" in left
    assert marks_in(left) == []
    code, left = start(data, mailbox=MARK)
    assert (code, marks_in(left)) == (ExitCode.CONFIG, [])
    code, left = start(data, **{"privacy-ledger": MARK})
    assert (code, marks_in(left)) == (ExitCode.CONFIG, [])


def test_without_the_stand_in_the_cell_is_in_the_failure_file(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tests above look for is found where nothing keeps it back."""
    monkeypatch.setattr(errors, "crossing", str)
    code, left = start(break_silo(tmp_path / "silo", "text that names a person"))
    assert (code, marks_in(left)) == (ExitCode.DATA, [MARK])


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_process_says_the_value_on_stdout_and_nowhere_else(tmp_path: Path, encoding: str) -> None:
    data = break_silo(tmp_path / "silo", "a name of another script")
    command = [sys.executable, "-m", "runtime.client.client", *options(tmp_path, data)]
    environment = {**os.environ, "SM_OUTPUT_DIR": str(tmp_path), "PYTHONIOENCODING": encoding}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
    told = f"fedstack-error 11 DATA: Its data cannot be used: line 42, column 'a'. {SEE_LOG}"
    assert ended.returncode == ExitCode.DATA
    assert ended.stderr.decode() == f"{told}\n"
    assert (tmp_path / "failure").read_text() == told
    shown = {"utf-8": "Zoë", "ascii": r"Zo\xeb"}[encoding]
    assert f"line 42, column 'a': the value is '{shown} {MARK}" in ended.stdout.decode(encoding)


# Messages ---------------------------------------------------------------------------------------------


ROOT = Question(
    0, np.array([[0, 1]]), np.full((1, 7), NO_SPLIT), np.zeros((1, 7), np.int64), np.zeros((1, 15), np.int64)
)
"""The histograms of one tree's root."""


def asked(kind: str, schema: Schema) -> Message:
    """A message of a kind, with all settings that any of them reads."""
    numbers = {"privacy-noise": 1.0, "privacy-clip": 4.0, "privacy-delta": 1e-5, "privacy-releases": 1}
    config: dict[str, Any] = {
        **{"schema": schema.digest(), "validation": 0.0, "seed": 0, "smote": False, "model": "logistic"},
        **{"rows": 40, "iterations": 1, "rounds": 1, "c": 1.0, "class-weight": "none", "server-round": 1},
        **{"scaler-mean": [0.0, 0.0], "scaler-scale": [1.0, 1.0], "feature-means": [0.0, 0.0]},
        **numbers,
        **{"bin-grid": [0.0, 0.0], "bin-grid-counts": [1, 1], "bin-edges": [0.0, 0.0], "bin-counts": [1, 1]},
        **ROOT.to_config(),
    }
    arrays = ArrayRecord({"coef": Array(np.zeros((1, 2))), "intercept": Array(np.zeros(1))})
    if kind in ("train.bins", "train.histograms"):
        config["model"] = "trees"
        arrays = ArrayRecord({name: Array(array) for name, array in ensemble.empty(0.0).items()})
    content = RecordDict({"config": ConfigRecord(config), "arrays": arrays})
    if kind in IMPLICIT_DENY:
        content = RecordDict({SECURE: ConfigRecord({"run": "run-1"})})
    message = Message(content, flower.number_of("clinic"), kind)
    flower.stamp(message, "message-1")
    return message


def node(folder: Path, data: Path) -> Context:
    places = {"data": str(data), "model-dir": f"{folder}/model", "privacy-ledger": f"file://{folder}/privacy"}
    config: dict[str, Any] = {"name": "clinic", **places, **PLAIN}
    return Context(1, flower.number_of("clinic"), config, RecordDict(), {})


def told(reply: Message) -> str:
    """All that a reply says, as the bytes that travel."""
    return repr(flower.to_parts(reply))


def test_the_kinds_are_all_that_the_client_app_answers() -> None:
    assert len(KINDS) >= 14
    assert {name.partition(".")[0] for name in KINDS} == {"query", "train", "evaluate"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_silo_is_answered(tmp_path: Path, kind: str) -> None:
    """So that the refusals below are the data's."""
    data = tmp_path / "silo"
    data.mkdir()
    (data / "schema.json").write_text(json.dumps(SCHEMA))
    (data / "data.csv").write_text(HEADER + ROWS)
    reply = handle_with(app, node(tmp_path, data))(asked(kind, schema_of(data)))
    assert reply.has_error() == (kind in IMPLICIT_DENY), reply.error.reason if reply.has_error() else ""


@pytest.mark.parametrize("fault", FAULTS)
def test_no_answer_quotes_the_data_whatever_is_asked_for(tmp_path: Path, fault: str) -> None:
    data = break_silo(tmp_path / "silo", fault)
    for kind in KINDS:
        reply = handle_with(app, node(tmp_path, data))(asked(kind, TINY))
        assert marks_in(told(reply)) == [], kind
        assert str(tmp_path) not in told(reply), kind
        assert reply.has_error()
        if kind not in IMPLICIT_DENY and FAULTS[fault][1]:
            assert reply.error.reason == f"Its data cannot be used: {FAULTS[fault][1]}."


def test_without_the_mod_and_the_handler_an_answer_would_quote_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "crossing", str)
    monkeypatch.setattr(link, "crossing", str)
    data = break_silo(tmp_path / "silo", "text that names a person")
    reply = handle_with(app, node(tmp_path, data))(asked("train", TINY))
    assert marks_in(told(reply)) == [MARK]


# Exceptions of any kind -------------------------------------------------------------------------------


class OwnError(Exception):
    """An exception of somebody's app, with a text of its own."""

    def __str__(self) -> str:
        return f"{MARK} in {self.args}"


class UntellableError(Exception):
    """An exception whose text cannot even be made."""

    def __str__(self) -> str:
        raise RuntimeError(MARK)


def chained() -> NoReturn:
    try:
        vars(silo)[MARK]
    except KeyError as error:
        raise ValueError(f"no {MARK}") from error
    raise AssertionError


def noted() -> NoReturn:
    error = TypeError(MARK)
    error.add_note(f"the row of {MARK}")
    raise error


def decoding() -> NoReturn:
    (MARK.encode() + b"\xff").decode()
    raise AssertionError


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


BREAKS: dict[str, tuple[Callable[[], NoReturn], str]] = {
    "ValueError": (raising(ValueError(f"could not convert string to float: '{MARK}'")), "ValueError"),
    "KeyError": (raising(KeyError(MARK)), "KeyError"),
    "an app's own": (raising(OwnError(MARK)), "OwnError"),
    "one without a text": (raising(UntellableError(MARK)), "UntellableError"),
    "one that follows from another": (chained, "ValueError"),
    "one with a note": (noted, "TypeError"),
    "a group": (raising(ExceptionGroup(MARK, [ValueError(MARK), OwnError(MARK)])), "ExceptionGroup"),
    "a group of any": (raising(BaseExceptionGroup(MARK, [SystemExit(MARK)])), "BaseExceptionGroup"),
    "UnicodeDecodeError": (decoding, "UnicodeDecodeError"),
    "OSError": (raising(FileNotFoundError(2, "No such file", f"/{MARK}.csv")), "FileNotFoundError"),
    "SystemExit": (raising(SystemExit(MARK)), "SystemExit"),
    "AssertionError": (raising(AssertionError(MARK)), "AssertionError"),
    "MemoryError": (raising(MemoryError(MARK)), "MemoryError"),
    "an error in the data": (raising(FedstackError(ExitCode.DATA, MARK, MARK)), "Its data cannot be used."),
    "one with words for all": (raising(FedstackError(ExitCode.CONFIG, MARK, "Mend it.", "No.")), "No."),
}


UNTOLD = ("one without a text", "UnicodeDecodeError")
"""Of these not even Python's own traceback has the text."""


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in IMPLICIT_DENY])
def test_an_exception_in_a_handler_is_its_kind_on_our_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    fail, words = BREAKS[name]
    monkeypatch.setattr(silo, "load", lambda _: fail())
    reply = handle_with(app, node(tmp_path, tmp_path))(asked(kind, TINY))
    assert reply.error.reason == words
    assert marks_in(told(reply)) == []


@pytest.mark.parametrize("name", BREAKS)
def test_an_exception_that_reaches_flowers_own_engines_holds_no_text_but_what_may_cross(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They put its text into the reply, and the whole of it into their log (simulation: the server's)."""
    fail, words = BREAKS[name]
    monkeypatch.setattr(silo, "load", lambda _: fail())
    with pytest.raises(CrossingError) as raised:
        app(asked("train", TINY), node(tmp_path, tmp_path))
    assert str(raised.value) == words
    assert (raised.value.__context__, raised.value.__cause__) == (None, None)
    frames = "".join(traceback.format_exception(raised.value, chain=True))
    everything = f"{frames} {raised.value!r} {vars(raised.value)}"
    assert marks_in(everything) == []
    assert marks_in(caplog.text) == [MARK] or name in UNTOLD


@pytest.mark.parametrize("name", BREAKS)
def test_without_the_mod_flowers_own_engines_would_tell(tmp_path: Path, name: str) -> None:
    def fail(message: Message, context: Context) -> NoReturn:
        BREAKS[name][0]()

    message, context = asked("train", TINY), node(tmp_path, tmp_path)
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever it is
        fail(message, context)
    assert marks_in("".join(traceback.format_exception(raised.value))) or name in UNTOLD
    with pytest.raises(CrossingError) as stand_in:
        quiet(message, context, fail)
    assert marks_in("".join(traceback.format_exception(stand_in.value))) == []


def test_a_virtual_node_logs_no_text_since_its_log_is_the_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = break_silo(tmp_path / "silo", "text that names a person")
    (data / "data.csv").rename(data / "silo-0.csv")
    config: dict[str, Any] = {"partition-id": 0, "num-partitions": 1, **PLAIN}
    virtual = Context(1, 5, config, RecordDict(), {"silos": str(data)})
    with pytest.raises(CrossingError, match="line 42, column 'a'"):
        app(asked("train", TINY), virtual)
    assert marks_in(caplog.text) == []
    assert "FedstackError" in caplog.text
    assert "diagnosis" in caplog.text or "load_csv" in caplog.text, "where it was raised"


def test_a_stop_is_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silo, "load", lambda _: raising(KeyboardInterrupt())())
    with pytest.raises(KeyboardInterrupt):
        app(asked("train", TINY), node(tmp_path, tmp_path))
    assert crossing(KeyboardInterrupt(MARK)) == "it was stopped"


def test_other_codes_cross_with_their_words_and_their_remedy() -> None:
    stand_in = CrossingError(FedstackError(ExitCode.VERSION, "It differs.", "Deploy the same release."))
    assert (stand_in.code, str(stand_in)) == (ExitCode.VERSION, "It differs.")
    assert stand_in.remedy == "Deploy the same release."
    assert CrossingError(FedstackError(ExitCode.DATA, "7 is wrong.", "Drop the 7.")).remedy == SEE_LOG
    assert crossing(stand_in) == "It differs."
