from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from app_federation import write_app
from server_fixture import NAMES, settings, state

from rehearsal.in_process import providers
from runtime.contract import ExitCode, FedstackError
from runtime.flower_app import BUILT_IN_APP
from runtime.ledger import Ledger
from runtime.server import roster, server
from runtime.server.settings import parse_app
from runtime.tabular.data.dataset import save_csv
from runtime.tabular.server import checkpoint
from runtime.tabular.server.settings import RunSettings
from runtime.tabular.server.test_set import TestSet


@pytest.fixture
def run(tmp_path: Path) -> RunSettings:
    save_csv(tmp_path / "test.csv", providers())
    return settings(tmp_path)


def code(raised: pytest.ExceptionInfo[FedstackError]) -> ExitCode:
    return raised.value.code


def test_every_setting_is_an_option_but_the_roster_and_what_the_run_makes_up() -> None:
    options = inspect.signature(server.main).parameters
    assert set(RunSettings.model_fields) - set(options) == {"name", "clients", "run_id"}
    assert {option.default for name, option in options.items() if name != "federation"} == {None}


def test_a_run_that_can_start(run: RunSettings) -> None:
    server.check(run)


def test_a_test_set_that_cannot_be_read_ends_the_run_before_anybody_joins(run: RunSettings) -> None:
    run.test_data.write_text("no,table\n")
    with pytest.raises(FedstackError) as raised:
        server.check(run)
    assert code(raised) is ExitCode.DATA


def test_nothing_to_resume_is_found_out_at_once(run: RunSettings) -> None:
    with pytest.raises(FedstackError, match="There is no checkpoint") as raised:
        server.check(run.model_copy(update={"resume": True}))
    assert code(raised) is ExitCode.CONFIG


@pytest.mark.parametrize(
    ("report", "goes_on"), [(None, False), ("FAILED", False), ("PARTIAL", True), ("COMPLETE", True)]
)
def test_an_unfinished_run_is_not_written_over(run: RunSettings, report: str | None, goes_on: bool) -> None:
    ledger, test = Ledger(run.out / "ledger.jsonl"), TestSet.load(run.test_data, run.model)

    def announce(digest: str) -> None:
        ledger.write("round", checkpoint_sha256=digest)

    checkpoint.save(run.checkpoint, state(0.5), run.model_dump(mode="json"), test.digest(), announce)
    if report:
        (run.out / "report.json").write_text(json.dumps({"verdict": report}))
    server.check(run.model_copy(update={"resume": True}))
    if goes_on:
        server.check(run)
    else:
        with pytest.raises(FedstackError, match="--resume") as raised:
            server.check(run)
        assert code(raised) is ExitCode.CONFIG


def test_a_ledger_that_was_changed_is_not_continued(run: RunSettings) -> None:
    path = run.out / "ledger.jsonl"
    Ledger(path).write("verdict", verdict="FAILED")
    server.check(run)
    path.write_text(path.read_text().replace("FAILED", "COMPLETE"))
    with pytest.raises(FedstackError, match="The ledger was changed") as raised:
        server.check(run)
    assert code(raised) is ExitCode.CONFIG


def test_a_roster_is_read(tmp_path: Path) -> None:
    said: dict[str, Any] = {"name": "fraud", "clients": [{"name": name} for name in NAMES], "region": "eu"}
    (tmp_path / "federation.json").write_text(json.dumps(said))
    read = roster.read(tmp_path / "federation.json")
    assert read == {"name": "fraud", "clients": said["clients"]}
    assert roster.notebook_role(tmp_path / "federation.json") == "FL-server-notebook-fraud"
    (tmp_path / "federation.json").write_text(json.dumps(said | {"notebook_role": "org-FL-server"}))
    assert roster.notebook_role(tmp_path / "federation.json") == "org-FL-server"


@pytest.mark.parametrize("text", [None, "", "[]", "7", '{"name": "fraud"}', '{"clients": []}', "\x00"])
def test_a_roster_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "federation.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FedstackError, match=r"federation\.json") as raised:
        roster.read(path)
    assert code(raised) is ExitCode.CONFIG


def test_the_built_in_app_may_be_named_like_any_other(run: RunSettings, tmp_path: Path) -> None:
    told = {"name": "cms", "clients": [{"name": "north", "mailbox": "file:///mail"}]}
    (tmp_path / "federation.json").write_text(json.dumps(told))
    said = {"app": BUILT_IN_APP, "test_data": run.test_data, "updates": "plain"}
    assert isinstance(server.read_settings(tmp_path / "federation.json", said), RunSettings)


def test_answers_that_cannot_be_held_here_are_found_before_any_job(tmp_path: Path) -> None:
    more = "[tool.fedstack]\nlargest-reply-mb = 8192\n"
    app = write_app(tmp_path / "app", "app = 1\n", "app = 2\n", more=more)
    clients = [{"name": f"silo-{number}", "mailbox": "file:///nowhere"} for number in range(500)]
    run = parse_app({"app": app, "out": tmp_path / "out", "clients": clients, "updates": "plain"})
    with pytest.raises(FedstackError, match=r"8,192 MB; 500 of them at once are 4,096\.0 GB") as raised:
        server.check(run)
    assert code(raised) is ExitCode.CONFIG
