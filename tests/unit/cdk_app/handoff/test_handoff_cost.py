"""What a client's account pays at most, as its package says."""

from __future__ import annotations

from typing import Any

import pytest
from assembly import NORTH, WEST, Template

from cdk_app.handoff import cost

JOB = cost.Job(instance_type="ml.m5.xlarge", volume_gb=30, max_runtime_minutes=60)


def total(items: list[cost.Item]) -> float:
    return sum(item.dollars or 0 for item in items)


def test_a_run_costs_its_instance_its_volume_and_its_watch_for_as_long_as_it_may_run() -> None:
    dollars = cost.run(JOB, "us-east-1").dollars
    assert dollars is not None
    assert dollars == pytest.approx(0.23 + 30 * 0.00019 + 1000 * 0.000025)
    twice = cost.run(
        cost.Job(instance_type="ml.m5.xlarge", volume_gb=30, max_runtime_minutes=120), "us-east-1"
    )
    assert twice.dollars == pytest.approx(2 * dollars)


def test_a_day_is_one_job_after_the_other() -> None:
    run, day = cost.run(JOB, "eu-west-1").dollars, cost.day(JOB, "eu-west-1").dollars
    assert run is not None
    assert day == pytest.approx(24 * run)


def test_a_region_that_has_no_price_counts_as_the_dearest() -> None:
    known = cost._prices()["regions"].values()
    assert cost.region_factor("mars-north-1") >= max(known)


def test_an_instance_without_a_price_is_said_to_have_none() -> None:
    job = cost.Job(instance_type="ml.p5.2xlarge", volume_gb=30, max_runtime_minutes=60)
    assert cost.run(job, "eu-west-1").dollars is None
    text = cost.text({"Resources": {}}, job, "eu-west-1")
    assert "not known" in text
    assert "no price of ml.p5.2xlarge" in text


def test_what_stands_idle_is_counted_in_the_template(templates: dict[str, Template]) -> None:
    with_notebook, without = (cost.idle_month(templates[name], "us-east-1") for name in (NORTH, WEST))
    assert total(with_notebook) - total(without) == pytest.approx(2 * 0.01 * 730 + 20 * 0.14)
    keys = sum(r["Type"] == "AWS::KMS::Key" for r in templates[WEST]["Resources"].values())
    assert next(item.dollars for item in without if "KMS" in item.what) == pytest.approx(float(keys))


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
