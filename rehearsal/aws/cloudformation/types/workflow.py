"""State machines and parameters."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from rehearsal.aws.cloudformation.handler import Handler, Made, Properties, lower, tags


class StateMachine(Handler, type_name="AWS::StepFunctions::StateMachine"):
    """A state machine; its definition changes in place."""

    mutable: ClassVar = frozenset(
        {*("DefinitionString", "LoggingConfiguration", "TracingConfiguration", "RoleArn", "Tags")}
    )

    def create(self, properties: Properties) -> Made:
        """Make it."""
        name = properties.get("StateMachineName") or self.name(80)
        arn = self.client("stepfunctions").create_state_machine(
            name=name,
            type=properties.get("StateMachineType", "STANDARD"),
            tags=lower(tags(properties)),
            **_settings(properties),
        )["stateMachineArn"]
        return Made(arn, {"Arn": arn, "Name": name})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set its definition and role again."""
        self.client("stepfunctions").update_state_machine(stateMachineArn=made.physical_id, **_settings(new))
        return made

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it; executions that run are stopped (Step Functions API reference, DeleteStateMachine)."""
        states = self.client("stepfunctions")
        running = states.list_executions(stateMachineArn=made.physical_id, statusFilter="RUNNING")
        for execution in running["executions"]:
            states.stop_execution(
                executionArn=execution["executionArn"], cause="The state machine is deleted"
            )
        states.delete_state_machine(stateMachineArn=made.physical_id)


def _settings(properties: Properties) -> dict[str, Any]:
    found = {"definition": properties["DefinitionString"], "roleArn": properties["RoleArn"]}
    for name in ("LoggingConfiguration", "TracingConfiguration"):
        if name in properties:
            found[name[0].lower() + name[1:]] = lower(properties[name])
    return found


class Parameter(Handler, type_name="AWS::SSM::Parameter"):
    """A parameter of the Parameter Store."""

    mutable: ClassVar = frozenset({"Value", "Description", "AllowedPattern", "Tags"})

    def create(self, properties: Properties) -> Made:
        """Make it."""
        name = properties.get("Name") or self.name(1011)
        labels = properties.get("Tags", {})  # a map here, unlike everywhere else
        self._put(name, properties, Tags=[{"Key": key, "Value": value} for key, value in labels.items()])
        return Made(name, {"Type": properties["Type"], "Value": properties["Value"]})

    def update(self, made: Made, old: Properties, new: Properties) -> Made:
        """Set it again."""
        self._put(made.physical_id, new, Overwrite=True)
        return Made(made.physical_id, {"Type": new["Type"], "Value": new["Value"]})

    def delete(self, made: Made, properties: Properties) -> None:
        """Delete it."""
        self.client("ssm").delete_parameter(Name=made.physical_id)

    def _put(self, name: str, properties: Properties, **more: Any) -> None:
        value = properties["Value"]
        optional = {
            key: properties[key] for key in ("Description", "AllowedPattern", "Tier") if key in properties
        }
        text = value if isinstance(value, str) else json.dumps(value)
        self.client("ssm").put_parameter(Name=name, Type=properties["Type"], Value=text, **optional, **more)
