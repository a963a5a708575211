"""Runs that nobody starts: the notebook is started in time, and its own timer starts the run."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from assembly import SERVER, Assembly, Template, of_type, one, plain
from iam_statements import statements
from moto_stack import created, empty_stack

from cdk_app.constructs.notebook.scheduled_runs import LEAD_MINUTES, Times, scheduled_run_script

DAY = 24 * 60


@pytest.mark.parametrize(
    ("starts", "calendar", "cron"),
    [
        ([DAY + 22 * 60 + 30], "Mon *-*-* 22:30:00 UTC", "cron(15 22 ? * MON *)"),
        ([0 + 125, 6 * DAY + 125], "Sun,Sat *-*-* 02:05:00 UTC", "cron(50 1 ? * SUN,SAT *)"),
        ([2 * DAY + 5, 3 * DAY + 5], "Tue,Wed *-*-* 00:05:00 UTC", "cron(50 23 ? * MON,TUE *)"),
        ([14], "Sun *-*-* 00:14:00 UTC", "cron(59 23 ? * SAT *)"),
        ([15], "Sun *-*-* 00:15:00 UTC", "cron(0 0 ? * SUN *)"),
    ],
)
def test_the_notebook_starts_before_the_run_and_perhaps_the_day_before(
    starts: list[int], calendar: str, cron: str
) -> None:
    assert (Times(starts).on_calendar(), Times(starts).cron()) == (calendar, cron)


def test_the_schedule_starts_one_notebook_and_may_do_nothing_else(other: Assembly) -> None:
    template = other.templates[SERVER]
    schedule = one(template, "Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "cron(50 23 ? * MON,TUE *)"
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = schedule["Target"]
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:sagemaker:startNotebookInstance"
    assert json.loads(target["Input"]) == {"NotebookInstanceName": "cms-server"}
    (role,) = [key for key in statements(template) if key.startswith("FederationSchedule")]
    assert plain(target["RoleArn"]) == f"<{role}.Arn>"
    told = statements(template)[role]
    assert told["grants"] == [
        {
            "Action": "sagemaker:StartNotebookInstance",
            "Effect": "Allow",
            "Resource": "arn:aws:sagemaker:eu-west-1:111111111111:notebook-instance/cms-server",
            "Sid": "StartNotebook",
        }
    ]
    (trust,) = told["trust"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "111111111111"},
        "ArnEquals": {"aws:SourceArn": "arn:aws:scheduler:eu-west-1:111111111111:schedule-group/default"},
    }


def test_without_a_schedule_there_is_none(templates: dict[str, Template]) -> None:
    assert of_type(templates[SERVER], "Scheduler::Schedule") == {}
    assert scheduled_run_script(None) == ""
    content = one(templates[SERVER], "SageMaker::NotebookInstanceLifecycleConfig")["OnStart"][0]["Content"]
    assert "scheduled" not in plain(content["Fn::Base64"])


def start_script(other: Assembly) -> str:
    content = one(other.templates[SERVER], "SageMaker::NotebookInstanceLifecycleConfig")["OnStart"][0][
        "Content"
    ]
    return plain(content["Fn::Base64"])


def test_the_start_script_sets_the_timer_up_and_still_fits(other: Assembly) -> None:
    script = start_script(other)
    assert len(base64.b64encode(script.encode())) <= 16_384
    assert not re.search(r"@[A-Z0-9_]+@", script)
    subprocess.run(["/bin/bash", "-n"], input=script, text=True, check=True)
    assert "OnCalendar=Tue,Wed *-*-* 00:05:00 UTC\n" in script
    assert "User=ec2-user\n" in script  # not root, as whom the start script runs
    assert script.index("install.sh > /var/log") < script.index("fedstack-scheduled-run.timer")


@pytest.mark.parametrize("ready", [True, False])
def test_the_timer_s_script_waits_for_the_runtime_and_runs_into_a_folder_of_its_own(
    other: Assembly, tmp_path: Path, *, ready: bool
) -> None:
    script = re.search(r"<<'SCHEDULED_SH'\n(.*?)\nSCHEDULED_SH\n", start_script(other), re.DOTALL)
    assert script is not None
    (tmp_path / "STATUS").write_text("2026-11-30T00:00:00Z " + ("ready\n" if ready else "installing\n"))
    (tmp_path / "fedstack").write_text('#!/bin/bash\necho "$@"\n')
    (tmp_path / "sleep").write_text(f"#!/bin/bash\necho '2026-11-30T00:00:09Z ready' > {tmp_path}/STATUS\n")
    for name in ("fedstack", "sleep"):
        (tmp_path / name).chmod(0o755)
    text = script[1].replace("/home/ec2-user/SageMaker/fedstack", str(tmp_path))
    text = text.replace("/usr/local/bin/fedstack", str(tmp_path / "fedstack"))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    run = subprocess.run(["/bin/bash"], input=text, text=True, capture_output=True, env=environment)
    assert re.fullmatch(r"run --out scheduled/\d{8}T\d{4}Z\n", run.stdout), run.stderr
    assert run.returncode == 0


def test_the_rehearsal_keeps_the_schedule_as_it_was_asked_for(other: Assembly) -> None:
    schedule: dict[str, Any] = one(other.templates[SERVER], "Scheduler::Schedule")
    target = {**schedule["Target"], "RoleArn": "arn:aws:iam::123456789012:role/starts"}
    with empty_stack() as stack:
        body = {"Type": "AWS::Scheduler::Schedule", "Properties": {**schedule, "Target": target}}
        created(stack, Schedule=body)
        found = stack.clients.get("scheduler").get_schedule(Name="cms-server-runs")
    assert found["ScheduleExpression"] == schedule["ScheduleExpression"]
    assert found["Target"]["Input"] == target["Input"]


def test_auto_stop_waits_longer_than_the_notebook_is_early() -> None:
    from cdk_app.config.models import ServerAccount

    (least,) = [
        bound.ge for bound in ServerAccount.model_fields["idle_minutes"].metadata if hasattr(bound, "ge")
    ]
    assert least >= LEAD_MINUTES
