"""What each client gains: measured by the client, sorted by the server, told by page and console."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict
from report_fixture import Page, complete

from rehearsal import baselines
from rehearsal.data import cut
from rehearsal.in_process import Federation, providers
from runtime.link import flower
from runtime.tabular import metrics, weighted_scores
from runtime.tabular.client_gain import measure, names_of, nested
from runtime.tabular.columns.columns import Task
from runtime.tabular.data.moments import Moments
from runtime.tabular.data.preparation import Prepared, prepare
from runtime.tabular.data.silos import Split
from runtime.tabular.models import Fit, as_pipeline, fit_alone, load
from runtime.tabular.report.claims import Claim, claim
from runtime.tabular.report.gains import gains, section, sentence, summed_sentence
from runtime.tabular.report.page import render
from runtime.tabular.uncertainty import Bootstrap, difference
from runtime.updates import UpdateRefusedError

SCORES = {"roc_auc", "pr_auc", "log_loss", "accuracy"}


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return replace(Federation.cut(tmp_path, rows=1500), plain=True)  # the server sees each client's figures


def events(federation: Federation, kind: str) -> dict[str, str]:
    """Return the reasons in the server's ledger by client."""
    lines = (federation.folder / "out/ledger.jsonl").read_text().splitlines()
    return {one["client"]: one["reason"] for one in map(json.loads, lines) if one["event"] == kind}


def value_of(report: dict[str, Any], name: str) -> Any:
    return next(one["value"] for one in report["clients"] if one["name"] == name)


@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "fednewton", "rounds": 5},
        {"strategy": "fedavg", "rounds": 2, "class_weight": "balanced", "smote": True, "seed": 3},
        {"model": "mlp", "strategy": "fedavg", "rounds": 2, "iterations": 3, "c": 0.1},
        {"model": "trees", "rounds": 3, "validation": 0.3},
    ],
    ids=str,
)
def test_a_rehearsal_would_compute_the_same_on_the_same_rows(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    silos = cut(None, tmp_path, clients=3, how=Split.FEATURE, seed=0)
    federation = replace(Federation.of(tmp_path, silos.silos, silos.test), plain=True)
    told = federation.run(**settings)
    saved = {"test_data": str(silos.test_file), "out": str(tmp_path / "out"), **settings}
    roster = [{"name": name, "mailbox": "file:///nowhere"} for name in silos.silos]
    strategy = {"strategy": told["strategy"], "updates": "plain"}
    (tmp_path / "out/settings.json").write_text(json.dumps({"clients": roster, **saved, **strategy}))
    with_pooled = baselines.add(tmp_path / "out", silos, {})
    given = {"validation": 0.1, "smote": False, "seed": 0} | settings
    how = Fit(
        iterations=given.get("iterations", 10),
        c=given.get("c", 1.0),
        class_weight=given.get("class_weight", "none"),
        seed=given["seed"],
    )
    for name, silo in silos.silos.items():
        held = prepare(silo, validation=given["validation"], smote=given["smote"], seed=given["seed"])
        own = fit_alone(load(told["model"]), held.train, how, len(told["rounds"]))
        scored = metrics.scores(held.validation.y, own.predict_proba(held.validation.x)[:, 1])
        mine = value_of(told, name)
        assert (mine["rows"], mine["positives"]) == (len(held.validation), held.validation.y.sum())
        assert mine["local_only"] == pytest.approx(scored)
        assert set(mine["federated"]) == SCORES
        assert value_of(with_pooled, name) == mine | {"pooled": value_of(with_pooled, name)["pooled"]}
        assert set(value_of(with_pooled, name)["pooled"]) == SCORES
    assert told["value_missing"] is None


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"privacy_epsilon": 3.0}, "under differential privacy no score of a client may leave it"),
        ({"validation": 0.0}, "with --validation 0 no client keeps rows back"),
    ],
)
def test_what_may_not_be_asked_is_not_and_the_report_says_why(
    federation: Federation, settings: dict[str, Any], reason: str
) -> None:
    asked: list[str] = []

    def watch(message: Message) -> bool:
        asked.append(message.metadata.message_type)
        return False

    report = federation.run(strategy="fednewton", rounds=2, drop=watch, page=True, **settings)
    assert "query.client_gain" not in asked
    assert "query.finish" in asked
    assert report["value_missing"] == f"not asked for: {reason}"
    assert [one["value"] for one in report["clients"]] == [None] * 3
    assert f"Not asked for: {reason}." in Page((federation.folder / "out/report.html").read_text()).text


def test_who_does_not_answer_costs_its_own_line_only(federation: Federation) -> None:
    silent = flower.number_of("silo-1")

    def drop(message: Message) -> bool:
        kind, node = message.metadata.message_type, message.metadata.dst_node_id
        return kind == "query.client_gain" and node == silent

    report = federation.run(strategy="fedavg", rounds=2, drop=drop, page=True)
    assert report["verdict"] == "COMPLETE"
    assert [one["value"] is None for one in report["clients"]] == [False, True, False]
    assert events(federation, "value_refused") == {"silo-1": "no reply in time"}
    page = Page((federation.folder / "out/report.html").read_text())
    assert "No figures from silo-1; the ledger says why." in page.text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": -1}, "its hold-out has -1 rows"),
        ({"positives": 10**6}, "1000000 of them positive"),
        ({"rows": 12.5}, "its hold-out has 12.5 rows"),
        ({"federated.roc_auc": 1.2}, "the roc_auc is 1.2, expected 0 to 1"),
        ({"local_only.log_loss": math.inf}, "log_loss' is inf"),
        ({"more": 1.0}, "the metrics are"),
        ({"gain.low": 0.3, "gain.high": 0.1}, "the interval of its gain is 0.3 to 0.1"),
        ({"gain.low": math.nan, "gain.high": 0.1}, "the interval of its gain is nan to 0.1"),
    ],
)
def test_figures_that_cannot_be_are_refused_by_name(
    federation: Federation, change: dict[str, float], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rehearsal.in_process import MemoryGrid

    honest = MemoryGrid._answer

    def lie(grid: MemoryGrid, message: Message) -> Message:
        reply = honest(grid, message)
        if message.metadata.message_type != "query.client_gain" or message.metadata.dst_node_id != liar:
            return reply
        told = {**reply.content.metric_records["metrics"], **change}
        return Message(RecordDict({"metrics": MetricRecord(told)}), reply_to=message)

    liar = flower.number_of("silo-2")
    monkeypatch.setattr(MemoryGrid, "_answer", lie)
    report = federation.run(strategy="fedavg", rounds=1)
    assert report["verdict"] == "COMPLETE"
    assert [one["value"] is None for one in report["clients"]] == [False, False, True]
    assert reason in events(federation, "value_refused")["silo-2"]


def test_a_client_keeps_its_figures_where_its_owner_finds_them(federation: Federation) -> None:
    nodes = {"silo-0": {"output-dir": str(federation.folder / "mine")}}
    report = federation.run(rounds=1, nodes=nodes)
    assert json.loads((federation.folder / "mine/value.json").read_text()) == value_of(report, "silo-0")


def test_silos_of_one_label_and_of_one_row_take_part(tmp_path: Path) -> None:
    whole = providers().take(np.arange(0, 5500, 5))
    honest, fraud = np.flatnonzero(whole.y == 0), np.flatnonzero(whole.y == 1)
    silos = {
        "silo-0": whole.take(np.r_[honest[:300], fraud[:30]]),
        "silo-1": whole.take(honest[300:340]),
        "silo-2": whole.take(honest[340:341]),
        "silo-3": whole.take(fraud[30:34]),
    }
    test = whole.take(np.r_[honest[400:500], fraud[40:50]])
    federation = replace(Federation.of(tmp_path, silos, test), plain=True)
    report = federation.run(rounds=2, strategy="fedavg", page=True)
    assert report["verdict"] == "COMPLETE"
    both, one_label, no_rows, frauds = (one["value"] for one in report["clients"])
    assert both["local_only"]["roc_auc"] is not None
    assert (one_label["rows"], one_label["positives"], frauds["positives"]) == (4, 0, frauds["rows"])
    assert one_label["local_only"]["roc_auc"] is None
    assert one_label["local_only"]["log_loss"] == pytest.approx(-math.log(37 / 38))
    assert (no_rows["rows"], no_rows["federated"]) == (0, dict.fromkeys(SCORES))
    page = Page((tmp_path / "out/report.html").read_text())
    assert re.search("in 1 of 1|within chance for the one client", page.text)
    assert "nan" not in page.text.lower()


def test_nothing_is_defined_on_no_rows() -> None:
    rows = providers().take(np.arange(50))
    kind, scaler = load("logistic"), Moments.of(rows.x).scaler()
    fitted = as_pipeline(kind, kind.initial(49, 0), scaler, rows.schema)
    told = measure(Prepared(rows, rows.take(np.arange(0)), 50), fitted, kind, Fit(), 1)
    assert set(told) == names_of(Task.BINARY)
    assert nested(told) == {
        "rows": 0,
        "positives": 0,
        "local_only": dict.fromkeys(SCORES),
        "federated": dict.fromkeys(SCORES),
        "gain": {"score": "roc_auc", "difference": None, "low": None, "high": None},
    }
    with pytest.raises(UpdateRefusedError, match="True of them positive"):
        nested(told | {"positives": True})


def entry(
    name: str, alone: float | None, federated: float | None, ends: tuple[float, float] | None = None
) -> dict[str, Any]:
    scores = {"local_only": {"roc_auc": alone}, "federated": {"roc_auc": federated}}
    gain = {"score": "roc_auc", "difference": None, "low": ends and ends[0], "high": ends and ends[1]}
    return {"name": name, "value": {"rows": 30, "positives": 3, **scores, "gain": gain}}


def said(*clients: dict[str, Any]) -> str:
    return sentence(gains({"clients": [*clients]}))


def test_the_largest_gain_comes_first_and_the_undefined_last() -> None:
    clients = [
        entry("a", 0.8, 0.7, (-0.2, -0.01)),
        entry("b", None, None),
        entry("c", 0.6, 0.9, (0.1, 0.5)),
        entry("d", 0.7, 0.7, (0.0, 0.0)),
    ]
    made = gains({"clients": [*clients, {"name": "e", "value": None}]})
    assert [one["name"] for one in made] == ["c", "d", "a", "b"]
    told = "federated beats alone in 1 of 3, alone beats federated in 1, within chance in 1"
    assert sentence(made) == f"{told}, mean ROC-AUC 0.700\u00a0\u2192\u00a00.767"
    assert sentence(made[3:]) == "no client has rows of both labels in its hold-out"
    assert sentence([]) == ""
    shown = section({"clients": [*clients, {"name": "e", "value": None}]})
    assert (shown["low"], shown["high"], shown["silent"]) == (0.6, 0.9, ["e"])


@pytest.mark.parametrize(
    "ends",
    [
        (0.0, 0.4),
        (-0.0, 0.4),
        (-1e-12, 0.4),
        (-0.2, 0.4),
        (-0.4, 0.0),
        (0.0, 0.0),
        (math.nan, 0.4),
        (0.1, math.nan),
    ],
    ids=str,
)
def test_however_large_a_gain_none_is_claimed_while_its_interval_touches_zero(
    ends: tuple[float, float],
) -> None:
    told = said(entry("a", 0.5, 0.9, ends), entry("b", 0.5, 0.95, ends))
    assert "beats" not in told
    assert told.startswith(
        ("the difference between federated and alone is within chance", "no client has rows")
    )
    summed = {"score": "roc_auc", "clients": 3, "above": 0, "below": 0, "local_only": 0.5, "federated": 0.9}
    assert "beats" not in summed_sentence(summed)
    assert "within chance for all 3 clients" in summed_sentence(summed)
    html = render(complete(3, 2) | {"clients": [entry("a", 0.5, 0.9, ends)]})
    assert 'class="gain"' not in html.split("What each client gains")[1].split("</table>")[0]


def test_a_gain_is_claimed_where_the_interval_leaves_zero_out_and_a_loss_is_too() -> None:
    assert said(entry("a", 0.5, 0.6, (1e-9, 0.2))).startswith("federated beats alone in 1 of 1, mean")
    assert said(entry("a", 0.6, 0.5, (-0.2, -1e-9))).startswith("alone beats federated in 1 of 1, mean")
    assert said(entry("a", 0.6, 0.7), entry("b", 0.6, 0.7, (-0.1, 0.3))).startswith(
        "within chance in 1 of 2, too few rows for an interval in 1"
    )
    summed = {"score": "r2", "clients": 5, "above": 3, "below": 1, "local_only": -0.5, "federated": 0.4}
    assert summed_sentence(summed) == (
        "federated beats alone in 3 of 5, alone beats federated in 1, within chance in 1, "
        "mean R² -0.500\u00a0\u2192\u00a00.400 (known as a sum only)"
    )


def test_a_model_that_is_the_same_is_never_better_whatever_the_rows() -> None:
    """Two solvers end a little apart, always on the same side: that is no gain."""
    y, p = np.r_[np.zeros(80), np.ones(20)].astype(np.int64), np.linspace(0.01, 0.99, 100)
    rows = providers().take(np.arange(100))
    scored = [
        Bootstrap(100).scores(weighted_scores.of(replace(rows, y=y), one))["log_loss"]
        for one in (p, p + 1e-9 * (y - p))
    ]
    apart = scored[1] - scored[0]
    assert (apart < 0).all()
    assert claim(difference(scored[1], scored[0]), "log_loss") is Claim.CHANCE


@pytest.mark.parametrize(
    ("score", "better"), [("roc_auc", True), ("log_loss", False), ("rmse", False), ("r2", True)]
)
def test_more_is_better_of_some_scores_and_less_of_others(score: str, better: bool) -> None:
    up, down = {"low": 0.1, "high": 0.2}, {"low": -0.2, "high": -0.1}
    assert (claim(up, score) is Claim.BETTER) == better
    assert (claim(down, score) is Claim.BETTER) != better
    assert claim({"low": -0.1, "high": 0.2}, score) is Claim.CHANCE
    assert claim(None, score) is Claim.UNKNOWN


@pytest.mark.parametrize(("areas", "ends"), [((0.8, 0.8), (0.7, 0.8)), ((0.0, 0.0), (0.0, 0.1))])
def test_a_scale_has_room_even_where_all_are_alike(
    areas: tuple[float, float], ends: tuple[float, float]
) -> None:
    shown = section({"clients": [entry("a", *areas)]})
    assert (shown["low"], shown["high"]) == ends
    assert shown["steps"] == 2


def test_the_page_draws_a_row_for_each_of_a_few_clients() -> None:
    html = render(complete(3, 2))
    assert html.count('class="dots"') == 3
    assert "Gain in ROC-AUC of" not in html
    known = gains(complete(3, 2))
    assert f"{sentence(known)}." in html
    assert "of 3" in sentence(known)


def test_the_page_names_best_median_and_worst_of_a_thousand_and_draws_them_all() -> None:
    html = render(complete(1000, 2))
    assert html.count('class="dots"') == 1003
    assert html.count('<tr class="picked">') == 3
    assert re.search(
        r"Gain in ROC-AUC of \d{3} clients: \d+ above zero, \+0\.\d+ at most, -0\.\d+ at least", html
    )
    assert len(html.encode()) < 2_000_000
