from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from report_fixture import Page, complete, failed

from runtime.server.report.charts import per_round
from runtime.tabular.report.page import render

SECTIONS = (
    "Key figures",
    "Round by round",
    "ROC and precision-recall",
    "Calibration",
    "Right and wrong calls at threshold 0.5",
    "A threshold for recall=0.8",
    "First by probability",
    "Federated, pooled, and each client alone",
    "What each client gains",
    "What each client contributed",
    "Training time",
    "Where the time went",
    "Every round",
    "Versions and files",
)
OPTIONAL = sorted(set(complete()) - {"verdict"})


def test_a_full_report_shows_every_section_in_order() -> None:
    page = Page(render(complete()))
    assert tuple(page.sections) == SECTIONS
    assert page.tags.count("svg") == 6


def test_the_rounds_begin_with_the_loss_that_is_minimised_and_each_chart_says_what_it_shows() -> None:
    page = render(complete())
    labels = re.findall(r'aria-label="([^"]*)"', page)
    assert [label.partition(" by round")[0] for label in labels[:3]] == [
        "Log loss, which training minimises",
        "ROC-AUC",
        "PR-AUC",
    ]
    assert re.search(r"ROC-AUC by round: from 0\.\d+ in round 0 to 0\.\d+ in round 8; pooled 0\.872", page)
    assert "ROC curve: positives caught (recall) against false alarms" in labels[3]
    assert "federated, area 0.868; pooled, area 0.872" in labels[3]


def test_a_metric_s_axis_is_its_own_so_that_a_third_decimal_is_no_fall() -> None:
    """ROC-AUC from 0.898 to 0.891 filled the chart once, above the words `best round`."""
    rounds = [{"round": n, "test": {"roc_auc": value}} for n, value in enumerate((0.898, 0.894, 0.891))]
    drawn = per_round(rounds, "roc_auc", "ROC-AUC", None, 2)
    ticks = [float(text) for text in re.findall(r">(\d\.\d+)</text>", drawn)]
    assert {0.5, 0.6, 0.7, 0.8, 0.9, 1.0} <= set(ticks)
    worse = per_round([{"round": 0, "test": {"roc_auc": 0.3}}], "roc_auc", "ROC-AUC", None, 0)
    assert min(float(text) for text in re.findall(r">(\d\.\d+)</text>", worse)) <= 0.3


def test_the_summary_says_what_came_out_in_one_sentence() -> None:
    report = complete() | {"final": {"roc_auc": 0.869}, "pooled": {"roc_auc": 0.8716}}
    report["intervals"] = {"roc_auc": {"low": 0.831, "high": 0.904}}
    assert (
        "3 clients trained one model over 8 rounds; ROC-AUC 0.869 "
        "(95\u00a0%: 0.831\u00a0to\u00a00.904) on 1,100 providers that no client holds, "
        "99.7\u00a0% of what pooling the data gives." in render(report)
    )


def test_a_partial_run_counts_who_took_part_and_names_the_refusal() -> None:
    report = complete() | {"verdict": "PARTIAL", "rounds_planned": 20, "stopped_early": True}
    for entry in report["rounds"][1:]:
        entry["clients"].pop("clinic-south")
    report["rounds"][2]["clients"]["insurer-east"]["status"] = "coef_ holds 3 NaN"
    page = Page(render(report))
    assert "2 of 3 clients trained one model over 8 of 20 rounds, stopping early" in page.text
    assert "insurer-east: coef_ holds 3 NaN; no part: clinic-south" in page.text
    assert "7 of 8" in page.text


def test_a_failed_run_says_why_and_that_there_is_no_model() -> None:
    page = Page(render(failed()))
    assert "FAILED" in page.text
    assert "No round finished, so there is no federated model." in page.text
    assert "clinic-south never joined within the join deadline of 300 s (exit code 20)." in page.text
    assert page.sections == ["Key figures", "What each client contributed"]


def test_rounds_in_which_every_update_was_refused_make_no_model() -> None:
    report = complete(2, 3) | {"verdict": "FAILED", "final": None}
    for entry in report["rounds"]:
        for contribution in entry["clients"].values():
            contribution["status"] = "wrong shape"
    text = Page(render(report)).text
    assert "No client contributed to any of 3 rounds, so there is no federated model." in text
    assert "the server recorded no reason" in text


@pytest.mark.parametrize("part", OPTIONAL)
def test_every_optional_part_may_be_null(part: str) -> None:
    page = Page(render(complete() | {part: None}))
    assert "Key figures" in page.sections
    assert not re.search(r"\b(None|nan|Undefined)\b", page.text)


def test_the_verdict_alone_is_enough() -> None:
    assert Page(render({"verdict": "FAILED"})).sections == ["Key figures"]


def test_the_shape_of_the_design_without_our_additions_renders() -> None:
    report = complete(2, 2)
    for entry in report["rounds"]:
        for contribution in entry["clients"].values():
            del contribution["status"], contribution["validation"]
    assert "2 of 2" in Page(render(report)).text


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=a()>', "$\\frac$ \u202e"]
)
def test_text_from_outside_is_escaped(hostile: str) -> None:
    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {rename(key): rename(part) for key, part in value.items()}
        if isinstance(value, list):
            return [rename(part) for part in value]
        return hostile if value in ("insurer-east", "joined", "0.1.0", "medicare-fraud", "ok") else value

    page = Page(render(rename(complete()) | {"reason": hostile}))
    assert not {"script", "img"} & set(page.tags)
    assert hostile.removesuffix(" \u202e") in page.text
    assert "\u202e" not in page.text


def test_a_file_link_stays_a_relative_path() -> None:
    page = Page(render(complete() | {"files": {"model": "javascript:alert(1)"}}))
    assert [value for name, value in page.attributes if name == "href"] == ["./javascript%3Aalert%281%29"]


def test_nothing_is_loaded_and_nothing_runs() -> None:
    html = render(complete())
    assert "//" not in html
    assert not {"script", "link", "iframe", "img", "image", "object"} & set(Page(html).tags)
    assert "@import" not in html
    assert all(re.match(r"url\(#\w+\)", url) for url in re.findall(r"url\([^)]*\)", html))


def test_the_same_report_gives_the_same_bytes_and_is_left_alone() -> None:
    report = complete()
    before = copy.deepcopy(report)
    assert render(report) == render(before)
    assert report == before


def test_numbers_that_are_not_finite_are_shown_as_absent() -> None:
    report = complete()
    report["final"]["log_loss"] = float("nan")
    report["rounds"][3]["test"]["roc_auc"] = float("inf")
    assert not re.search(r"\b(nan|inf)\b", Page(render(report)).text)


def test_thirty_clients_and_fifty_rounds_stay_small_and_are_summarised() -> None:
    html = render(complete(30, 50))
    assert len(html.encode()) < 500_000
    assert "Median of 30 alone" in html
    assert "Median of" not in render(complete(10, 2))
