"""Runs that nobody starts: the notebook is started shortly before, and its own timer starts the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from cdk_app.constructs.identity.role import ScopedRole

LEAD_MINUTES: Final = 15
"""How long before a run the notebook is started: it boots and installs meanwhile; auto-stop waits longer."""

_LIFECYCLE: Final = Path(__file__).parents[2] / "lifecycle"
_A_DAY: Final = 24 * 60
_DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


class Times(NamedTuple):
    """When runs start, in UTC.

    Parameters
    ----------
    starts
        Minutes of a week, from Sunday's midnight on, all at one time of the day.
    """

    starts: Sequence[int]

    def on_calendar(self) -> str:
        """Return the times as systemd writes them."""
        days, hour, minute = self._parts(0)
        return f"{','.join(days)} *-*-* {hour:02}:{minute:02}:00 UTC"

    def cron(self) -> str:
        """Return the times, earlier by what the notebook needs, as EventBridge Scheduler writes them."""
        days, hour, minute = self._parts(LEAD_MINUTES)
        return f"cron({minute} {hour} ? * {','.join(day.upper() for day in days)} *)"

    def _parts(self, earlier: int) -> tuple[list[str], int, int]:
        times = sorted((start - earlier) % (7 * _A_DAY) for start in self.starts)
        hour, minute = divmod(times[0] % _A_DAY, 60)
        return [_DAYS[time // _A_DAY] for time in times], hour, minute


def scheduled_run_script(times: Times | None) -> str:
    """Return what a notebook's start script ends with where runs are scheduled."""
    if times is None:
        return ""
    script = (_LIFECYCLE / "scheduled_run.sh").read_text(encoding="utf-8")
    return script.replace("@ON_CALENDAR@", times.on_calendar())


class ScheduledStart(Construct):
    """A schedule that starts one notebook instance, and may do nothing else."""

    def __init__(self, scope: Construct, *, notebook: str, times: Times) -> None:
        super().__init__(scope, "Schedule")
        stack = cdk.Stack.of(self)
        group = stack.format_arn(service="scheduler", resource="schedule-group", resource_name="default")
        role = ScopedRole(
            self,
            "Role",
            description="Starts the federation's notebook when a run is due",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    # The schedule's group is what EventBridge Scheduler names here.
                    "ArnEquals": {"aws:SourceArn": group},
                },
            ),
        )
        instance = stack.format_arn(service="sagemaker", resource="notebook-instance", resource_name=notebook)
        role.allow("StartNotebook", ["sagemaker:StartNotebookInstance"], [instance])
        scheduler.CfnSchedule(
            self,
            "Start",
            name=f"{notebook}-runs",
            description="Starts the notebook, whose own timer starts the run",
            schedule_expression=times.cron(),
            schedule_expression_timezone="UTC",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=f"arn:{stack.partition}:scheduler:::aws-sdk:sagemaker:startNotebookInstance",
                role_arn=role.role_arn,
                input=json.dumps({"NotebookInstanceName": notebook}),
                # A notebook that is open already cannot be started, and need not be.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=LEAD_MINUTES * 60, maximum_retry_attempts=3
                ),
            ),
        )
