"""What a client's account pays at most, as its package says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from assembly import NORTH, WEST, Template

from cdk_app.handoff import cost

JOB = cost.Job(instance_type="ml.m5.xlarge", volume_gb=30, max_runtime_minutes=60, max_runs_per_day=24)


def total(items: list[cost.Item]) -> float:
    return sum(item.dollars or 0 for item in items)


def test_a_run_costs_its_instance_its_volume_and_its_watch_for_as_long_as_it_may_run() -> None:
    dollars = cost.run(JOB, "us-east-1").dollars
    assert dollars is not None
    assert dollars == pytest.approx(0.23 + 30 * 0.00019 + 1000 * 0.000025)
    twice = cost.run(
        cost.Job(instance_type="ml.m5.xlarge", volume_gb=30, max_runtime_minutes=120, max_runs_per_day=24),
        "us-east-1",
    )
    assert twice.dollars == pytest.approx(2 * dollars)


@pytest.mark.parametrize(
    ("runs", "minutes", "hours"), [(24, 60, 24), (24, 90, 24), (3, 60, 3), (100, 5, 500 / 60)]
)
def test_a_day_is_as_many_jobs_as_may_start_and_never_more_than_24_hours(
    runs: int, minutes: int, hours: float
) -> None:
    job = dataclasses.replace(JOB, max_runs_per_day=runs, max_runtime_minutes=minutes)
    an_hour = cost.run(JOB, "eu-west-1").dollars
    assert an_hour is not None
    assert cost.day(job, "eu-west-1").dollars == pytest.approx(hours * an_hour)


def test_a_region_that_has_no_price_counts_as_the_dearest() -> None:
    known = cost._prices()["regions"].values()
    assert cost.region_factor("mars-north-1") >= max(known)


def test_an_instance_without_a_price_is_said_to_have_none() -> None:
    job = cost.Job(instance_type="ml.p5.2xlarge", volume_gb=30, max_runtime_minutes=60, max_runs_per_day=24)
    assert cost.run(job, "eu-west-1").dollars is None
    text = cost.text({"Resources": {}}, job, "eu-west-1")
    assert "not known" in text
    assert "no price of ml.p5.2xlarge" in text


def test_what_stands_idle_is_counted_in_the_template(templates: dict[str, Template]) -> None:
    with_notebook, without = (cost.idle_month(templates[name], "us-east-1") for name in (NORTH, WEST))
    assert total(with_notebook) - total(without) == pytest.approx(2 * 0.01 * 730 + 20 * 0.14)
    keys = sum(r["Type"] == "AWS::KMS::Key" for r in templates[WEST]["Resources"].values())
    assert next(item.dollars for item in without if "KMS" in item.what) == pytest.approx(float(keys))


def test_what_a_schedule_starts_costs_as_often_as_it_starts(templates: dict[str, Template]) -> None:
    items = cost.idle_month(templates[WEST], "us-east-1")
    (looks,) = (item for item in items if "scheduled" in item.what)
    assert looks.what.startswith("2,920 ")  # every 15 minutes
    assert looks.dollars == pytest.approx(2920 * 5 * 0.000025)


def test_a_resource_more_costs_more(templates: dict[str, Template]) -> None:
    template: dict[str, Any] = {"Resources": dict(templates[WEST]["Resources"])}
    before = total(cost.idle_month(template, "us-east-1"))
    template["Resources"]["More"] = {"Type": "AWS::KMS::Key", "Properties": {}}
    assert total(cost.idle_month(template, "us-east-1")) == pytest.approx(before + 1)


def test_the_text_says_that_it_is_an_estimate_and_of_when(templates: dict[str, Template]) -> None:
    text = cost.text(templates[NORTH], JOB, "eu-west-1")
    assert text.startswith("AN ESTIMATE")
    assert "collected on 20" in text
    for title in ("Worst cost of a run", "Worst cost of a day", "A month in which nothing runs"):
        assert title in text
