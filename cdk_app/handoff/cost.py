"""What a client's account pays at most, reckoned with prices.yaml: an estimate, and it says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

HOURS_A_MONTH: Final = 730
HOURS_A_DAY: Final = 24
TRANSITIONS_AN_HOUR: Final = 1000
"""Of the state machine while a job runs, which it looks at every 20 s."""
TRANSITIONS_A_LOOK: Final = 5
"""Of a state machine that a schedule starts, while it finds nothing to do."""
_MINUTES: Final = {"minute": 1, "hour": 60, "day": 60 * HOURS_A_DAY}

Template = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """The job as the client's stack pins it."""

    instance_type: str
    volume_gb: int
    max_runtime_minutes: int
    max_runs_per_day: int


@dataclass(frozen=True)
class Item:
    """One thing that costs, and what it costs in US dollars; None where prices.yaml has no price."""

    what: str
    dollars: float | None


def idle_month(template: Template, region: str) -> list[Item]:
    """Return what the deployed stack costs in a month in which nothing runs and the notebook is stopped."""
    factor, month, hour = region_factor(region), _prices()["a_month"], _prices()["an_hour"]
    zones = sum(len(p.get("SubnetIds", ())) for p in _of_type(template, "EC2::VPCEndpoint"))
    counted = {
        "interface endpoints, each in one zone": (
            zones,
            hour["endpoint_and_zone"] * HOURS_A_MONTH,
        ),
        "load balancers, at idle": (
            len(_of_type(template, "ElasticLoadBalancingV2::LoadBalancer")),
            hour["load_balancer"] * HOURS_A_MONTH,
        ),
        "KMS keys": (len(_of_type(template, "KMS::Key")), month["kms_key"]),
        "alarms": (len(_of_type(template, "CloudWatch::Alarm")), month["alarm"]),
        "dashboards": (len(_of_type(template, "CloudWatch::Dashboard")), month["dashboard"]),
        "scheduled looks for jobs that nobody watches": (
            round(sum(_looks(p["ScheduleExpression"]) for p in _scheduled(template))),
            TRANSITIONS_A_LOOK * _prices()["state_transition"],
        ),
        "GB of a notebook's volume": (
            sum(p["VolumeSizeInGB"] for p in _of_type(template, "SageMaker::NotebookInstance")),
            month["notebook_gb"],
        ),
    }
    return [
        Item(f"{number:,} {what}", number * price * factor)
        for what, (number, price) in counted.items()
        if number
    ]


def run(job: Job, region: str) -> Item:
    """Return the worst cost of one run: a job that is only stopped when its time is over."""
    hours = job.max_runtime_minutes / 60
    rate = _hour(job, region)
    what = f"{job.max_runtime_minutes} minutes of {job.instance_type} with {job.volume_gb} GB"
    return Item(what, None if rate is None else rate * hours)


def day(job: Job, region: str) -> Item:
    """Return the worst cost of a day: as many jobs as may start, one after the other, to the last minute."""
    rate, hours = _hour(job, region), min(HOURS_A_DAY, job.max_runs_per_day * job.max_runtime_minutes / 60)
    what = f"{hours:g} hours of such jobs: at most {job.max_runs_per_day} start in a day, one at a time"
    return Item(what, None if rate is None else rate * hours)


def text(template: Template, job: Job, region: str) -> str:
    """Return cost.txt."""
    return "\n".join(_lines(template, job, region)) + "\n"


def region_factor(region: str) -> float:
    """Return how much dearer than us-east-1 a Region is."""
    factor: float = _prices()["regions"].get(region, _prices()["elsewhere"])
    return factor


def _lines(template: Template, job: Job, region: str) -> Iterator[str]:
    prices = _prices()
    yield "AN ESTIMATE in US dollars, not an offer: look your Region's prices up before you rely on it."
    yield (
        f"List prices of us-east-1 collected on {prices['collected']} ({prices['source']}),"
        f" times {region_factor(region):g} for {region};"
    )
    yield "without tax, free tiers and discounts, and without storage and traffic, which go with your data."
    for title, item in (("Worst cost of a run", run(job, region)), ("Worst cost of a day", day(job, region))):
        yield f"\n{title}:"
        yield _line(item)
        if item.dollars is None:
            yield f"  prices.yaml has no price of {job.instance_type}: multiply its hourly price yourself."
    items = idle_month(template, region)
    yield "\nA month in which nothing runs and the notebook, if any, is stopped:"
    yield from map(_line, items)
    yield _line(Item("altogether", sum(item.dollars or 0 for item in items)))
    for notebook in _of_type(template, "SageMaker::NotebookInstance"):
        kind = notebook["InstanceType"]
        price = _prices()["instances"].get(kind)
        yield "\nAn hour in which the notebook is on (it stops by itself when nobody uses it):"
        yield _line(Item(kind, None if price is None else price * region_factor(region)))


def _line(item: Item) -> str:
    amount = "not known" if item.dollars is None else f"{item.dollars:,.2f}"
    return f"  {amount:>10}  {item.what}"


def _hour(job: Job, region: str) -> float | None:
    """Return what an hour of the job costs: instance, volume and the state machine that watches it."""
    prices = _prices()
    instance = prices["instances"].get(job.instance_type)
    if instance is None:
        return None
    watch = TRANSITIONS_AN_HOUR * prices["state_transition"]
    rate: float = instance + job.volume_gb * prices["an_hour"]["training_gb"] + watch
    return rate * region_factor(region)


def _scheduled(template: Template) -> list[Mapping[str, Any]]:
    return [rule for rule in _of_type(template, "Events::Rule") if "ScheduleExpression" in rule]


def _looks(rate: str) -> float:
    """Return how often a month `rate(15 minutes)` is."""
    number, unit = rate.removeprefix("rate(").removesuffix(")").split()
    return HOURS_A_MONTH * 60 / (int(number) * _MINUTES[unit.removesuffix("s")])


def _of_type(template: Template, kind: str) -> list[Mapping[str, Any]]:
    resources = template["Resources"].values()
    return [each.get("Properties", {}) for each in resources if each["Type"] == f"AWS::{kind}"]


@cache
def _prices() -> dict[str, Any]:
    prices: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("prices.yaml").read_text("utf-8"))
    return prices
