from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from server_fixture import NAMES, arrays, entry, held_out, settings, state

from rehearsal.in_process import providers
from runtime.contract import ExitCode, FedstackError
from runtime.server.report import page
from runtime.server.report.files import Drafts
from runtime.tabular.data.schema import CMS
from runtime.tabular.models import as_pipeline, load
from runtime.tabular.report import build as report
from runtime.tabular.server.checkpoint import State
from runtime.tabular.server.client_gain import Value
from runtime.tabular.server.settings import RunSettings

NOBODY = Value()
SECONDS = {"join": 1.0, "rounds": 2.0}


def write(*given: Any) -> dict[str, Path]:
    """Write the files of a run as its end does."""
    drafts = Drafts()
    files = report.write(*(*given, drafts))
    drafts.publish()
    return files


def built(
    run: RunSettings, made: State | None, error: BaseException | None = None, value: Value = NOBODY
) -> dict[str, Any]:
    return report.build(run, made, held_out(), SECONDS, error, value)


def test_the_design_names_what_a_report_has(tmp_path: Path) -> None:
    made = built(settings(tmp_path), state(0.5, 0.4))
    assert {
        "run_id",
        "verdict",
        "engine",
        "strategy",
        "clients",
        "rounds",
        "final",
        "seconds",
        "versions",
    } <= set(made)
    assert set(made["final"]) == {"roc_auc", "pr_auc", "log_loss", "accuracy", "brier"}
    for name, interval in made["intervals"].items():
        assert interval["low"] <= made["final"][name] <= interval["high"]
    assert set(made["intervals"]) == set(made["final"])
    assert sum(group["rows"] for group in made["calibration"]["federated"]) == 80
    assert [one["share"] for one in made["precision_at"]] == [0.01, 0.05, 0.1]
    assert "operating_point" not in made
    assert {"flwr", "scikit-learn", "protocol", "bundle", "python"} <= set(made["versions"])
    assert made["clients"][0] == {
        "name": "clinic",
        "samples": 40,
        "status": "contributed to every round",
        "value": None,
    }
    assert (made["test_samples"], made["test_positives"]) == (80, 20)


def test_a_threshold_is_chosen_for_what_was_asked(tmp_path: Path) -> None:
    point = built(settings(tmp_path, threshold_for="recall=0.8"), state(0.5, 0.4))["operating_point"]
    assert point["for"] == "recall=0.8"
    assert point["chosen_on"] + point["judged"]["tn"] + point["judged"]["fp"] + 10 == 80
    assert 0 <= point["judged"]["recall_interval"]["low"] <= point["judged"]["recall"]


def test_whose_updates_were_visible_is_said_and_nobodys_are_in_a_sum(tmp_path: Path) -> None:
    three = [{"name": name, "mailbox": f"file:///mail/{name}"} for name in (*NAMES, "pharmacy")]
    made = {
        updates: built(
            settings(tmp_path, clients=three, updates=updates), state(0.5, 0.4, absent=("insurer",))
        )
        for updates in ("plain", "sums")
    }
    assert made["plain"]["privacy"] == {
        "updates": "plain",
        "visible": ["clinic"],
        "differential_privacy": None,
    }
    assert made["sums"]["privacy"] == {"updates": "sums", "visible": [], "differential_privacy": None}
    assert page.visible(made["plain"]) == "updates of clinic were visible to the server"
    thousand = {"privacy": {"visible": [f"silo-{number}" for number in range(1234)]}}
    assert page.visible(thousand).endswith("silo-8, silo-9 and 1,224 more clients were visible to the server")
    assert page.visible(made["sums"]) == ""


def test_everybody_in_every_round_is_complete(tmp_path: Path) -> None:
    made = built(settings(tmp_path, rounds=2), state(0.5, 0.4))
    assert (made["verdict"], made["code"], made["reason"]) == ("COMPLETE", 0, None)
    assert not made["stopped_early"]


def test_one_missing_once_is_partial_and_named(tmp_path: Path) -> None:
    lacking = state(0.5, 0.4)
    lacking.advance(arrays(0.0), entry(3, 0.3, "insurer"))
    made = built(settings(tmp_path), lacking)
    assert (made["verdict"], made["code"]) == ("PARTIAL", ExitCode.PARTIAL)
    assert made["reason"] == "Not every client contributed to every round: insurer to 2 of 3 rounds."
    assert made["clients"][1]["status"] == "contributed to 2 of 3 rounds"


def test_who_never_came_is_said_so(tmp_path: Path) -> None:
    lacking = state(0.5, absent=("insurer",))
    del lacking.samples["insurer"]
    assert built(settings(tmp_path), lacking)["clients"][1] == {
        "name": "insurer",
        "samples": 0,
        "status": "never joined",
        "value": None,
    }


@pytest.mark.parametrize(
    "code", [ExitCode.JOIN_DEADLINE, ExitCode.QUORUM, ExitCode.RUN_DEADLINE, ExitCode.ENGINE]
)
def test_a_failure_keeps_its_code_and_its_words(tmp_path: Path, code: ExitCode) -> None:
    made = built(settings(tmp_path), None, FedstackError(code, "It broke.", "Mend it."))
    assert (made["verdict"], made["code"], made["reason"]) == ("FAILED", code, "It broke. Mend it.")
    assert (made["rounds"], made["final"], made["final_round"]) == ([], {}, 0)
    assert {one["status"] for one in made["clients"]} == {"never joined"}


def test_an_interruption_says_how_to_go_on(tmp_path: Path) -> None:
    made = built(settings(tmp_path), state(0.5), KeyboardInterrupt())
    assert (made["verdict"], made["code"]) == ("FAILED", 130)
    assert "--resume" in made["reason"]
    assert made["final"]["log_loss"] > 0


def test_nobody_contributed_to_rounds_that_never_ended(tmp_path: Path) -> None:
    made = built(settings(tmp_path), state(), FedstackError(ExitCode.QUORUM, "Too few.", "Mend."))
    assert {one["status"] for one in made["clients"]} == {"joined, but no round ended"}


@pytest.mark.parametrize(("patience", "final", "early"), [(0, 3, True), (1, 2, True)])
def test_the_final_model_is_the_one_that_is_measured_and_kept(
    tmp_path: Path, patience: int, final: int, early: bool
) -> None:
    run, made = settings(tmp_path, patience=patience, rounds=9), state(0.5, 0.3, 0.4)
    told = built(run, made)
    assert (told["best_round"], told["final_round"], told["stopped_early"]) == (2, final, early)
    files = write(told, run, made, held_out())
    kept = joblib.load(files["model"]).predict_proba(providers().x[:50])
    wanted = as_pipeline(load("logistic"), arrays(final / 100), made.scaler, CMS).predict_proba(
        providers().x[:50]
    )
    np.testing.assert_array_equal(kept, wanted)


def test_every_file_that_is_named_is_there(tmp_path: Path) -> None:
    run, made = settings(tmp_path), state(0.5)
    told = built(run, made)
    run.checkpoint.touch()
    (tmp_path / "ledger.jsonl").touch()
    files = write(told, run, made, held_out())
    assert set(files) == {"model", "report", "page", "ledger", "checkpoint"}
    assert all(path.exists() for path in files.values())
    assert json.loads(files["report"].read_text())["files"] == {
        label: path.name for label, path in files.items()
    }
    assert "report.json.tmp" not in {path.name for path in tmp_path.iterdir()}


def test_a_run_without_a_round_leaves_no_model(tmp_path: Path) -> None:
    run = settings(tmp_path)
    files = write(built(run, None, FedstackError(ExitCode.QUORUM, "a", "b")), run, None, held_out())
    assert set(files) == {"report", "page", "ledger"}
    assert not (tmp_path / "model.joblib").exists()


def test_a_report_is_json_that_every_reader_takes(tmp_path: Path) -> None:
    run, made = settings(tmp_path), state(0.5)
    made.rounds[0]["test"]["roc_auc"] = float("nan")
    made.rounds[0]["clients"][NAMES[0]]["train_seconds"] = float("inf")
    write(built(run, made), run, made, held_out())

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    told = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert told["rounds"][0]["test"]["roc_auc"] is None
