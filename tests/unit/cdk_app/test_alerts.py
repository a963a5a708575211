"""Who hears of a failure, and who can make them hear of one."""

from __future__ import annotations

import json
import re

import pytest
from assembly import NORTH, SERVER, SOUTH, Assembly, Template, of_type, one, plain


@pytest.mark.parametrize("stack", [NORTH, SOUTH])
def test_a_failed_job_and_a_failed_execution_reach_the_client_s_own_topic(
    templates: dict[str, Template], stack: str
) -> None:
    template, client = templates[stack], stack.split("-")[2]
    topic = next(key for key, r in template["Resources"].items() if r["Type"] == "AWS::SNS::Topic")
    rule = one(template, "Events::Rule", Description="A federated training job failed")
    assert rule["EventPattern"]["detail"] == {
        "TrainingJobName": [{"prefix": f"cms-{client}--"}],
        "TrainingJobStatus": ["Failed"],
    }
    assert [plain(target["Arn"]) for target in rule["Targets"]] == [f"<{topic}>"]
    alarms = of_type(template, "CloudWatch::Alarm")
    for alarm in alarms.values():
        assert [plain(action) for action in alarm["AlarmActions"]] == [f"<{topic}>"]
        assert alarm["TreatMissingData"] == "notBreaching"
    thresholds = {re.split("Alerts|[0-9A-F]{8}$", name)[1]: a["Threshold"] for name, a in alarms.items()}
    # A job that the stopper or the sweeper could not stop is watched by nobody; 24 runs a day are allowed.
    assert thresholds == {
        "BrokerFailed": 1,
        "StopperFailed": 1,
        "SweeperFailed": 1,
        "BrokerAborted": 1,
        "ManyStarts": 25,
    }


def test_the_topic_is_encrypted_and_takes_alerts_of_its_own_account_by_tls_only(
    templates: dict[str, Template],
) -> None:
    assert plain(one(templates[NORTH], "SNS::Topic")["KmsMasterKeyId"]) == "<KeysOperations5671B638.Arn>"
    statements = one(templates[NORTH], "SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    [allowed] = [s for s in statements if s["Effect"] == "Allow"]
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": "222222222222"}}
    [denied] = [s for s in statements if s["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_somebody_hears_by_mail_where_the_client_says_who(
    other: Assembly, templates: dict[str, Template]
) -> None:
    subscription = one(other.templates[NORTH], "SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.org")
    assert of_type(templates[NORTH], "SNS::Subscription") == {}


def test_an_execution_that_ends_before_its_job_has_the_job_stopped(templates: dict[str, Template]) -> None:
    template = templates[NORTH]
    rule = next(
        r
        for r in of_type(template, "Events::Rule").values()
        if "aws.states" in json.dumps(r.get("EventPattern"))
    )
    assert rule["EventPattern"]["detail"]["status"] == ["ABORTED", "FAILED", "TIMED_OUT"]
    stopper = one(template, "StepFunctions::StateMachine", StateMachineName="FL-broker-cms-north-stop")
    definition = json.loads(plain(stopper["DefinitionString"]))
    assert definition["States"]["StopJob"]["Arguments"] == {
        "TrainingJobName": "{% 'cms-north--' & $states.context.Execution.Input.detail.name %}"
    }


def test_jobs_that_nobody_watches_are_looked_for_every_quarter_of_an_hour(
    templates: dict[str, Template],
) -> None:
    template = templates[NORTH]
    rule = next(r for r in of_type(template, "Events::Rule").values() if "ScheduleExpression" in r)
    [machine] = (
        name
        for name, found in of_type(template, "StepFunctions::StateMachine").items()
        if found["StateMachineName"] == "FL-broker-cms-north-sweep"
    )
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(15 minutes)", "ENABLED")
    assert [plain(target["Arn"]) for target in rule["Targets"]] == [f"<{machine}>"]


@pytest.mark.parametrize("stack", [NORTH, SOUTH])
def test_executions_are_logged_in_full_and_traced(templates: dict[str, Template], stack: str) -> None:
    for machine in of_type(templates[stack], "StepFunctions::StateMachine").values():
        assert machine["LoggingConfiguration"]["Level"] == "ALL"
        assert machine["LoggingConfiguration"]["IncludeExecutionData"] is True
        assert machine["TracingConfiguration"] == {"Enabled": True}


def test_every_account_has_one_dashboard(templates: dict[str, Template]) -> None:
    for stack, name in ((SERVER, "cms-server"), (NORTH, "cms-north"), (SOUTH, "cms-south")):
        assert one(templates[stack], "CloudWatch::Dashboard")["DashboardName"] == name
