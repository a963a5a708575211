"""Everything that has no policy: is each type and property known, and does it stay in the account?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cdk_app.review.reading.parts import Parts, data
from cdk_app.review.reading.template import Resource

_LIFECYCLE: Final = Path(__file__).parents[2] / "lifecycle"
_ENDINGS: Final = {"ABORTED", "FAILED", "TIMED_OUT"}
"""How an execution ends of which the job may be left."""


class Resources:
    """The resources of a client's stack."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._template = parts.template
        self._topics = {
            self._template.reference(topic.name) for topic in self._template.of_kind("SNS::Topic")
        }
        self._known = data("resources.yaml")

    def check(self) -> None:
        """Object to what is not known, and to what leads out of the account."""
        for resource in self._template.resources.values():
            self._check_known(resource)
        for alarm in self._template.of_kind("CloudWatch::Alarm"):
            if set(alarm.properties.get("AlarmActions", [])) - self._topics:
                self._object(alarm, "It tells somebody who is no topic of this template.")
        for subscription in self._template.of_kind("SNS::Subscription"):
            if subscription.properties.get("Protocol") != "email":
                self._object(
                    subscription, f"Alerts go by {subscription.properties.get('Protocol')}, not by e-mail."
                )
        for rule in self._template.of_kind("Events::Rule"):
            self._check_rule(rule)
        for group in [*self._template.of_kind("Logs::LogGroup"), *self._template.of_kind("SNS::Topic")]:
            key = group.properties.get("KmsKeyId", group.properties.get("KmsMasterKeyId"))
            if key != self._parts.values.get("operations_key"):
                self._object(group, "It is not encrypted with the operations key.")
        for vpc in self._template.of_kind("EC2::VPC"):
            if not any(self._logs(flow_log, vpc) for flow_log in self._template.of_kind("EC2::FlowLog")):
                self._object(vpc, "Its flows are not all logged to a group of this template.")
        for machine in self._template.of_kind("StepFunctions::StateMachine"):
            self._check_log(machine)
        for parameter in self._template.of_kind("SSM::Parameter"):
            self._check_parameter(parameter)
        for script in self._template.of_kind("SageMaker::NotebookInstanceLifecycleConfig"):
            self._check_script(script)

    def _object(self, resource: Resource, what: str) -> None:
        self._template.object(resource.name, what)

    def _logs(self, flow_log: Resource, vpc: Resource) -> bool:
        """Whether a flow log keeps all flows of a VPC in this account."""
        groups = {self._template.reference(group.name) for group in self._template.of_kind("Logs::LogGroup")}
        properties = flow_log.properties
        return (
            properties.get("ResourceId") == self._template.reference(vpc.name)
            and properties.get("TrafficType") == "ALL"
            and properties.get("LogGroupName") in groups
        )

    def _check_log(self, machine: Resource) -> None:
        """Object unless every step of a state machine's executions is logged in this account."""
        told = machine.properties.get("LoggingConfiguration", {})
        groups = {self._template.arn(group.name) for group in self._template.of_kind("Logs::LogGroup")}
        to = {d.get("CloudWatchLogsLogGroup", {}).get("LogGroupArn") for d in told.get("Destinations", [])}
        if told.get("Level") != "ALL" or told.get("IncludeExecutionData") is not True or not to & groups:
            self._object(machine, "What its executions do is not logged in full to a group of this template.")

    def _check_known(self, resource: Resource) -> None:
        kind = resource.kind.removeprefix("AWS::")
        if kind not in self._known:
            self._object(
                resource, f"It is an {resource.kind or 'untyped resource'}, which this review does not know."
            )
            return
        known = {name.removesuffix("*") for name in self._known[kind]} | {"Tags"}
        for name in sorted(resource.properties.keys() - known):
            self._object(
                resource, f"It has {name}, a property of {resource.kind} that this review does not know."
            )

    def _check_rule(self, rule: Resource) -> None:
        machines = {self._template.arn(name) for name in self._parts.machines}
        for target in rule.properties.get("Targets", []):
            arn = target.get("Arn")
            if set(target) - {"Arn", "Id", "RoleArn"} or arn not in machines | self._topics:
                self._object(
                    rule, f"It sends events to {self._template.show(str(arn))}, or changes them on the way."
                )
            if arn == self._parts.values.get("broker"):
                self._object(rule, "An event starts the broker, which only the server's invitation may.")

    def _check_parameter(self, parameter: Resource) -> None:
        name = str(parameter.properties.get("Name"))
        if name.endswith("/participation"):
            self._object(
                parameter, "The participation switch is in the stack: an update would undo a withdrawal."
            )
        elif not self._parts.direct:
            self._object(parameter, f"It sets {name}, which no reviewed stack does.")

    def _check_script(self, script: Resource) -> None:
        """Object unless a notebook's start script is this release's, but for the values put into it."""
        hooks = script.properties.get("OnStart", [])
        content = self._template.encoded(hooks[0].get("Content")) if len(hooks) == 1 else None
        if content is None or not start_script().fullmatch(content):
            self._object(script, "The notebook's start script is not the one of this release.")


def start_script() -> re.Pattern[str]:
    """Return the start script of this release as a pattern; a value in it is one line without quotes.

    What the notebook is told of its account stands in a quoted here-document: no character means anything.
    """
    text = (_LIFECYCLE / "on_start.sh").read_text(encoding="utf-8")
    auto_stop = (_LIFECYCLE / "auto_stop.py").read_text(encoding="utf-8").rstrip()
    text = text.replace("@AUTO_STOP@", auto_stop)
    value, told = r"[^\n\"'`$\\;&|<>()]*", r'(?:"[a-z_]+": "[^\n"\\]*"(?:, )?)*'
    parts = re.split(r"(@[A-Z_0-9]+@)", text)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = (told if name == "@TOLD@" else value for name in parts[1::2])
    return re.compile("".join(parts))


def stops_what_is_left(rule: Resource, broker: Any, stopper: Any) -> bool:
    """Whether a rule starts the stopper at every ending of the broker's executions that may leave a job."""
    pattern = rule.properties.get("EventPattern")
    detail = pattern.get("detail", {}) if isinstance(pattern, Mapping) else {}
    return (
        isinstance(pattern, Mapping)
        and set(pattern) == {"source", "detail-type", "detail"}
        and pattern["source"] == ["aws.states"]
        and pattern["detail-type"] == ["Step Functions Execution Status Change"]
        and detail.get("stateMachineArn") == [broker]
        and set(detail) == {"stateMachineArn", "status"}
        and set(detail["status"]) >= _ENDINGS
        and rule.properties.get("State", "ENABLED") == "ENABLED"
        and any(target.get("Arn") == stopper for target in rule.properties.get("Targets", []))
    )


def sweeps(rule: Resource, sweeper: Any) -> bool:
    """Whether a rule starts the sweeper at least once an hour."""
    found = re.fullmatch(r"rate\((\d+) minutes\)", str(rule.properties.get("ScheduleExpression")))
    return (
        found is not None
        and int(found[1]) <= 60
        and rule.properties.get("State", "ENABLED") == "ENABLED"
        and any(target.get("Arn") == sweeper for target in rule.properties.get("Targets", []))
    )
