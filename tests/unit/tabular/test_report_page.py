from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from report_fixture import Page, complete, failed

from runtime.server.report.charts import per_round
from runtime.server.report.model_charts import calibration
from runtime.tabular.report import figures
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


def comparison(html: str) -> str:
    return html.split("Federated, pooled, and each client alone</h2>")[1].split("</table>")[0]


@pytest.mark.parametrize("ends", [(0.0, 0.4), (-0.4, 0.0), (-0.01, 0.4), (0.0, 0.0), (None, None)], ids=str)
def test_no_better_and_no_worse_is_said_or_coloured_while_an_interval_touches_zero(
    ends: tuple[float | None, float | None],
) -> None:
    report = complete()
    touching = {"difference": 0.2, "low": ends[0], "high": ends[1]}
    same = {"roc_auc": touching, "log_loss": touching}
    report["compared"] = {"pooled": same, "local_only": dict.fromkeys(report["local_only"], same)}
    titles = [("roc_auc", "ROC-AUC"), ("log_loss", "Log loss")]
    part = figures.sentence(report, list(report["local_only"].items()), titles)
    assert not re.search(r"\bbetter\b|\bworse\b", part)
    for who in (None, *report["local_only"]):
        assert {cell["colour"] for cell in figures.against(report, who, titles)} == {"none"}
    assert ("within chance" in part) == (ends[0] is not None)
    assert ("too few rows for an interval" in part) == (ends[0] is None)


def test_more_log_loss_is_worse_and_what_an_interval_bears_is_said() -> None:
    report = complete()
    lost = {"difference": 0.1, "low": 0.05, "high": 0.15}
    report["compared"]["local_only"]["insurer-east"] = {"roc_auc": lost, "log_loss": lost}
    part = comparison(render(report))
    row = part.split("insurer-east alone")[1].split("</tr>")[0]
    assert 'class="gain">+0.100' in row
    assert 'class="loss">+0.100' in row
    assert "against 3 clients alone it is better than 3" in part
    assert "differs from pooling by \u22120.001 (95\u00a0% \u22120.005 to +0.003), within chance" in part


def test_figures_have_their_intervals_beside_them_and_in_the_table() -> None:
    html = render(complete())
    assert "95\u00a0%: 0.838\u00a0to\u00a00.898" in html
    assert "<small>0.838\u00a0to\u00a00.898</small>" in comparison(html)
    assert "Brier score 0.066 (95 %: 0.036\u00a0to\u00a00.096); pooled 0.065" in html


def test_the_calibration_chart_says_what_it_shows_on_axes_from_none_to_all() -> None:
    groups = {"federated": [{"rows": 9, "said": 0.02, "true": 0.01}, {"rows": 9, "said": 0.1, "true": 0.3}]}
    drawn = calibration(groups, "Calibration")
    assert 'aria-label="Calibration: share that came true against probability said; federated, ' in drawn
    assert "furthest off at 0.10, where 0.30 came true" in drawn
    assert {"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"} <= set(re.findall(r">(\d\.\d)</text>", drawn))
    assert calibration({"federated": []}, "") == calibration({}, "") == ""


def test_the_title_says_whose_data_it_is() -> None:
    report = complete()
    rows = sum(client["samples"] for client in report["clients"])
    page = Page(render(report))
    assert f"COMPLETE: medicare-fraud: cms, {rows:,} providers of 3 clients" in page.text
    unknown = Page(render(report | {"schema": None, "training_samples": 0}))
    assert "COMPLETE: medicare-fraud: 3 clients" in unknown.text


def test_a_threshold_that_could_not_be_chosen_says_why() -> None:
    report = complete() | {"operating_point": {"for": "precision=0.9", "missing": "no threshold reaches it"}}
    page = Page(render(report))
    assert "A threshold for precision=0.9" in page.sections
    assert "None was chosen: no threshold reaches it." in page.text


def test_a_report_of_numbers_has_neither_calibration_nor_threshold_and_keeps_its_intervals() -> None:
    scores = {"r2": 0.52, "rmse": 53.1, "mean_absolute_error": 43.2}
    report = {
        key: value for key, value in complete().items() if key not in ("curves", "calibration", "confusion")
    }
    report |= {
        "scores": [{"name": name, "title": name} for name in scores],
        "final": scores,
        "pooled": scores,
    }
    report |= {"intervals": {name: {"low": value - 1, "high": value + 1} for name, value in scores.items()}}
    report |= {"operating_point": None, "precision_at": None, "classification_report": None}
    for entry in report["rounds"]:
        entry["test"] = scores
    report |= {"local_only": {"clinic": scores}, "compared": {"pooled": {"r2": {"difference": 0.0}}}}
    page = Page(render(report))
    assert not {"Calibration", "First by probability"} & set(page.sections)
    assert "52.100\u00a0to\u00a054.100" in page.text
    assert "\u22120.480\u00a0to\u00a01.520" in page.text
